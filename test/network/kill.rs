//! Networks, killed: before each system call of each operation. The next operation finds, reports
//! and removes what is left.

use crate::ground::{
    attach, begin, create, detach, everybody, interfaces, isolated, names_in, nobody, nothing_left,
    only, remove, request,
};
use tiny_ce::network;

#[test]
fn rm_finds_what_a_killed_create_leaves() {
    isolated(&[], |ground| {
        let request = request("web", "10.0.0.0/24");
        let create = || network::create(ground.root(), &request);
        if ground.phase().is_some() {
            begin();
            create().expect("a network");
            return;
        }
        ground.sweep("create", |point| {
            let found = names_in(ground.root().join(".network"));
            match create() {
                Ok(_) => assert_eq!(found, [""; 0], "{point}: made over that"),
                Err(error) => {
                    let text = error.to_string();
                    let told = text.contains("is half made") || text.contains("exists already");
                    assert!(told, "{point}: {text}");
                }
            }
            remove("web", everybody);
            nothing_left();
        });
    });
}

#[test]
fn a_killed_remove_can_be_repeated() {
    isolated(&[], |ground| {
        let remove = || network::remove(ground.root(), "web", &everybody);
        if ground.phase().is_some() {
            begin();
            return remove().expect("removed");
        }
        create("web", "10.0.0.0/24");
        ground.sweep("remove", |point| {
            if let Err(error) = remove() {
                let text = error.to_string();
                assert!(text.contains("does not exist"), "{point}: {text}");
            }
            nothing_left();
            create("web", "10.0.0.0/24");
        });
    });
}

#[test]
fn detach_finds_what_a_killed_attach_leaves() {
    isolated(&[], |ground| {
        if ground.phase().is_some() {
            begin();
            attach("web", "a");
            return;
        }
        create("web", "10.0.0.0/24");
        ground.sweep("attach", |point| {
            if point % 2 == 0 {
                network::detach_container(ground.root(), "a").expect("a is gone");
            } else {
                // Without a delete, the state directory disappears, and another container comes.
                let alive = |id: &str| id == "b";
                let other = network::attach(ground.root(), "web:10.0.0.2", "b", &alive);
                detach(&other.unwrap_or_else(|error| panic!("{point}: {error}")));
            }
            assert_eq!(interfaces(), ["lo", "tce-web"], "{point}");
            assert_eq!(names_in("/run/netns"), [""; 0], "{point}");
            assert_eq!(only().containers, [], "{point}");
        });
        remove("web", nobody);
        nothing_left();
    });
}

#[test]
fn a_killed_detach_can_be_repeated() {
    isolated(&[], |ground| {
        let detach = || network::detach_container(ground.root(), "a").expect("a is gone");
        if ground.phase().is_some() {
            begin();
            return detach();
        }
        create("web", "10.0.0.0/24");
        attach("web", "a");
        ground.sweep("detach", |point| {
            detach();
            assert_eq!(interfaces(), ["lo", "tce-web"], "{point}");
            assert_eq!(names_in("/run/netns"), [""; 0], "{point}");
            attach("web", "a");
        });
        remove("web", nobody);
        nothing_left();
    });
}
