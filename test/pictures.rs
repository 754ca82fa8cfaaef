//! Pictures as a browser draws them: headless Chromium measures every text and every square.
//!
//! The golden pictures of test/pictures, which test/plans/worlds.rs and this file write, those of
//! docs/screens, which .ci/screens writes, and those of containers and networks that run. Which
//! texts are in a picture is the affair of other tests.

use tiny_ce::cli::network_picture;
use tiny_ce::network::{Member, Network, Stage, Subnet};
use tiny_ce_test::svg::{Drawn, Element, apart, elements, measured, size, texts};
use tiny_ce_test::{Case, Need, command, met, run, tiny_ce, tree};

const CHROMIUM: &[Need] = &[Need::Program("chromium")];

/// What Chromium draws has every text of each picture.
#[track_caller]
fn are_readable(pictures: &[String], case: &Case) {
    for (svg, drawn) in pictures.iter().zip(measured(pictures, case.dir())) {
        is_readable(svg, &drawn);
    }
}

/// Every text is within the picture, and none is over another one or over a square.
#[track_caller]
fn is_readable(svg: &str, Drawn { texts, squares }: &Drawn) {
    let all = elements(svg);
    let wanted = self::texts(&all);
    assert_eq!(texts.len(), wanted.len(), "as many texts as in the picture");
    assert!(!texts.is_empty());
    let elements = all.iter().filter(|it| it.name == "text");
    let mono = |it: &Element<'_>| it.attribute("class").is_some_and(|it| it.contains("call"));
    for ((text, wanted), _) in texts.iter().zip(&wanted).zip(elements).filter(|it| mono(it.1)) {
        let [drawn, most] = [text, wanted].map(|it| it.edges[2] - it.edges[0]);
        assert!(drawn <= most + 1.0, "{:?}: {drawn} wide, not {most}", text.words);
    }
    apart(texts, size(&all));
    for square in squares {
        let [left, top, right, bottom] = square.edges;
        for text in texts {
            let [l, t, r, b] = text.edges;
            // The box of a text has room for accents above and below its letters.
            let apart = r <= left || l >= right || b - 3.0 <= top || t + 3.0 >= bottom;
            assert!(apart, "{:?} is over a square: {text:?} {square:?}", text.words);
        }
    }
}

fn golden(name: &str) -> std::path::PathBuf {
    tree().join("test/pictures").join(name)
}

#[test]
fn pictures_of_the_tree() {
    if !met(CHROMIUM) {
        return;
    }
    let mut pictures = Vec::new();
    for (place, count) in [("test/pictures", 6), ("docs/screens", 6)] {
        let mut seen = 0;
        for entry in std::fs::read_dir(tree().join(place)).expect(place) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|it| it == "svg") {
                pictures.push(std::fs::read_to_string(&path).expect("a picture"));
                seen += 1;
            }
        }
        assert_eq!(seen, count, "pictures of {place}");
    }
    are_readable(&pictures, &Case::new());
}

#[test]
fn screens_show_what_tiny_ce_prints() {
    let needs = [Need::Program("python3"), Need::Program("unshare")];
    let Some(case) = Case::root(&needs) else { return };
    let mut screens = command([tree().join(".ci/screens")]);
    run(screens.arg("--check").arg(tiny_ce()), case.dir()).ok();
}

#[test]
fn a_container_its_analysis_and_its_world() {
    let Some(case) = Case::root(CHROMIUM) else { return };
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let mut pictures = Vec::new();
    for words in [&["explain", "--analyze", "--format", "svg"][..], &["explain", "--format", "svg"]]
    {
        let mut words = case.command(words);
        pictures.push(run(words.arg(bundle.path()), case.dir()).ok().to_owned());
    }
    let done = case.tiny_ce(["explain", "--format", "svg", "--memory", "64m", "--", "true"]);
    pictures.push(done.ok().to_owned());
    are_readable(&pictures, &case);
}

/// A network with many containers, one of them with the longest of all ids, and one without any.
fn networks() -> [(&'static str, Network); 2] {
    let subnet = Subnet::parse("10.89.0.0/24").expect("a subnet");
    let member = |index: u8| Member {
        id: if index == 4 { "W".repeat(215) } else { format!("web-{index}") },
        address: [10, 89, 0, index + 2].into(),
        interface: (index != 3).then(|| "eth0".to_owned()),
        host_interface: format!("tce{index:012x}"),
    };
    let network = |name: &str, members: u8, stage| Network {
        name: name.to_owned(),
        subnet: Some(subnet),
        bridge: "tce-blue".to_owned(),
        gateway: Some(subnet.gateway()),
        mtu: None,
        stage,
        containers: (0..members).map(member).collect(),
    };
    let empty = Network { subnet: None, gateway: None, ..network("x", 0, Stage::Damaged) };
    [("network.svg", network("blue", 7, Stage::Ready)), ("network-damaged.svg", empty)]
}

#[test]
fn networks_are_golden_and_name_each_container() {
    for (name, network) in networks() {
        let svg = network_picture(&network);
        let all = elements(&svg);
        apart(&texts(&all), size(&all));
        for Member { address, host_interface, .. } in &network.containers {
            let words = [address.to_string(), format!("{host_interface} on the host")];
            assert!(words.iter().all(|words| svg.contains(words)), "{words:?}: {svg}");
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(golden(name), &svg).expect("a golden file");
        }
        let before = std::fs::read_to_string(golden(name)).unwrap_or_default();
        assert!(before == svg, "{name} is not as before; BLESS=1 writes it");
    }
}
