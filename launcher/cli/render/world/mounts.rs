//! The mounts as a tree, with what each may not do, and the paths in it that are masked or
//! read-only.

use std::fmt::Write;

use tiny_ce_init::flags::MountAttrs;

use super::World;
use crate::cli::render::picture::{LEFT, RIGHT, Sheet, State, mono};
use crate::spec::Mount;
use crate::spec::paths::lexical;

/// Where the details of a line begin and end.
pub const INDENT: f64 = LEFT + 17.0;
/// See [`INDENT`].
pub const END: f64 = RIGHT;
/// From a mount to those below it.
const STEP: f64 = 16.0;
/// The deepest mount that is drawn further to the right than its parent.
const DEEPEST: usize = 10;
/// The attributes, with the middle of their columns.
const ATTRIBUTES: [(&str, MountAttrs, f64); 4] = [
    ("ro", MountAttrs::MOUNT_ATTR_RDONLY, 452.0),
    ("nosuid", MountAttrs::MOUNT_ATTR_NOSUID, 494.0),
    ("nodev", MountAttrs::MOUNT_ATTR_NODEV, 544.0),
    ("noexec", MountAttrs::MOUNT_ATTR_NOEXEC, 594.0),
];
/// Where the paths end, before those columns.
const PATHS_END: f64 = 436.0;

/// A place in the tree.
struct Place<'a> {
    /// The components of the path.
    path: Vec<&'a str>,
    mount: Option<&'a Mount>,
    /// The place of which it is a part, by index; the root's own is 0.
    parent: usize,
    depth: usize,
    /// The later mount that hides it.
    hidden_by: Option<&'a str>,
}

/// The card of mounts.
pub fn mounts(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("mounts", |sheet| {
        for (name, _, x) in ATTRIBUTES {
            mono(&mut sheet.body, "quiet middle", (x, sheet.y - 21.0), name);
        }
        let places = places(world);
        below(world, sheet, &places, (0, 0.0));
    });
}

/// The root, and the mounts in the order in which they are made.
fn places<'a>(world: &World<'a>) -> Vec<Place<'a>> {
    let (spec, host) = (world.spec, world.host);
    let root = Place { path: Vec::new(), mount: None, parent: 0, depth: 0, hidden_by: None };
    let mut all = vec![root];
    for (index, mount) in spec.mounts.iter().enumerate() {
        let path = lexical(host.destination(index).unwrap_or(&mount.destination));
        let above = |(_, place): &(usize, &Place<'_>)| {
            path.starts_with(&place.path) && place.hidden_by.is_none()
        };
        let parent = all.iter().enumerate().filter(above).max_by_key(|(_, it)| it.path.len());
        let (parent, depth) = parent.map_or((0, 0), |(index, place)| (index, place.depth + 1));
        if !mount.options.remount {
            // A mount over a mount, or over a directory above it.
            let below = |it: &&mut Place<'_>| it.mount.is_some() && it.path.starts_with(&path);
            all.iter_mut().filter(below).for_each(|it| it.hidden_by = Some(&mount.destination));
        }
        all.push(Place { path, mount: Some(mount), parent, depth, hidden_by: None });
    }
    all
}

/// Draw a place, and those below it; `trunk` is the baseline of its parent.
fn below(world: &World<'_>, sheet: &mut Sheet, places: &[Place<'_>], (at, trunk): (usize, f64)) {
    let own = sheet.y;
    draw(world, sheet, places, (at, trunk));
    let children = places.iter().enumerate().skip(1).filter(|(_, place)| place.parent == at);
    for (index, _) in children {
        below(world, sheet, places, (index, own));
    }
}

fn draw(world: &World<'_>, sheet: &mut Sheet, places: &[Place<'_>], (at, trunk): (usize, f64)) {
    let place = &places[at];
    let x = LEFT + STEP * place.depth.min(DEEPEST) as f64;
    if place.depth > 0 {
        let (left, middle) = (x - 10.0, sheet.y - 4.0);
        // Below the deepest column a line would go through squares.
        let top = if place.depth > DEEPEST { middle } else { trunk + 3.0 };
        let _ = writeln!(
            sheet.body,
            "<path class=\"grid\" d=\"M{left:.1} {top:.1}V{middle:.1}H{x:.1}\"/>"
        );
    }
    let (state, details, set) = match place.mount {
        None => root(world),
        Some(mount) => about(world, mount, at - 1),
    };
    let known = places[place.parent].path.len();
    let name = match &place.path[known..] {
        // The root, or once more what is mounted already.
        [] => format!("/{}", place.path.join("/")),
        rest => rest.join("/"),
    };
    sheet.square(state, x, sheet.y);
    for (_, attribute, middle) in ATTRIBUTES {
        match set.0 & attribute.0 == attribute.0 {
            true => sheet.square(State::Own, middle - 6.0, sheet.y),
            false => sheet.square(State::Absent, middle - 6.0, sheet.y),
        }
    }
    let behind = x + 17.0;
    sheet.lines("", behind, PATHS_END, &name);
    sheet.lines("quiet", behind, PATHS_END, &details);
    if let Some(by) = place.hidden_by {
        sheet.lines("quiet", behind, PATHS_END, &format!("hidden by the later mount {by}"));
    }
    covers(world, sheet, places, at, behind);
    sheet.y += 4.0;
}

fn root(world: &World<'_>) -> (State, String, MountAttrs) {
    let root = world.spec.root.as_ref();
    let readonly = root.is_some_and(|root| root.readonly);
    let linux = world.spec.linux.as_ref();
    let propagation = linux.and_then(|linux| linux.rootfs_propagation).map(|it| it.word());
    let shared = propagation.is_some_and(|word| word.ends_with("shared"));
    let mut details = match world.ephemeral {
        true => "the host's files, through overlays; changes vanish".to_owned(),
        false => world.host.rootfs.clone(),
    };
    if let Some(word) = propagation {
        details = format!("{details}, {word}");
    }
    let state = match (shared, readonly || world.ephemeral) {
        (true, _) => State::Open,
        (false, true) => State::Own,
        (false, false) => State::Shared,
    };
    let attributes = if readonly { MountAttrs::MOUNT_ATTR_RDONLY } else { MountAttrs(0) };
    (state, details, attributes)
}

fn about(world: &World<'_>, mount: &Mount, index: usize) -> (State, String, MountAttrs) {
    let options = &mount.options;
    let set = match mount.is_bind() {
        true => options.asked().set,
        false => options.made(),
    };
    let set = MountAttrs((set.0 | options.all.set.0) & !options.all.clear.0);
    let readonly = set.0 & MountAttrs::MOUNT_ATTR_RDONLY.0 != 0;
    let part = world.host.mounts.get(index).and_then(|facts| facts.part.as_ref());
    let kind = mount.kind.as_deref().unwrap_or_default();
    let (what, state) = match (world.host.source(index), part) {
        (_, Some(part)) => (format!("overlay of {}, changes vanish", part.lower), State::Own),
        (Some(source), _) if source.made => (format!("bind of {}", source.path), State::Own),
        (Some(source), _) => {
            let state = if readonly { State::Shared } else { State::Open };
            (format!("bind of {}", source.path), state)
        }
        (None, _) if options.remount => ("remount".to_owned(), State::Own),
        (None, _) => (kind.to_owned(), State::Own),
    };
    let shown = |word: &&str| !ATTRIBUTES.iter().any(|(name, ..)| name == word);
    let words = options.words().map(|(word, _)| word).filter(shown);
    let words: Vec<&str> = words.filter(|word| !matches!(*word, "bind" | "rbind")).collect();
    let recursive = if options.bind == Some(true) { ", with what is mounted in it" } else { "" };
    let words = match part.is_some() || words.is_empty() {
        true => String::new(),
        false => format!(": {}", words.join(", ")),
    };
    (state, format!("{what}{recursive}{words}"), set)
}

/// The masked and the read-only paths that this mount shows.
fn covers(world: &World<'_>, sheet: &mut Sheet, places: &[Place<'_>], at: usize, x: f64) {
    let Some(linux) = &world.spec.linux else { return };
    let shows = |path: &[&str]| {
        let above = |(_, place): &(usize, &Place<'_>)| {
            place.hidden_by.is_none() && path.starts_with(&place.path)
        };
        let all = places.iter().enumerate();
        all.filter(above).max_by_key(|(_, it)| it.path.len()).map_or(0, |(index, _)| index)
    };
    let known = places[at].path.len();
    for (what, paths) in [("masked", &linux.masked_paths), ("read-only", &linux.readonly_paths)] {
        let own = paths.iter().map(|path| lexical(path)).filter(|path| shows(path) == at);
        let names: Vec<String> = own.map(|path| path[known..].join("/")).collect();
        if !names.is_empty() {
            sheet.square(State::Own, x, sheet.y);
            let words = format!("{what}: {}", names.join(", "));
            sheet.lines("quiet", x + 17.0, PATHS_END, &words);
        }
    }
}
