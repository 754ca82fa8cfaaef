//! A network as one figure: the bridge on the host, and the containers that are its ports.

use std::fmt::Write;

use super::picture::{LEFT, RIGHT, Sheet, State, WIDTH, mono, text, width, wrap};
use crate::network::{Member, Network, Stage};

const TITLE: &str = "a network of containers";
/// The line to which all containers are joined.
const TRUNK: f64 = 34.0;
/// Where the containers' boxes begin.
const BOX: f64 = 62.0;

/// Draw it.
pub fn svg(network: &Network) -> String {
    let mut sheet = Sheet::new(TITLE, &network.name);
    bridge(network, &mut sheet);
    let mut joint = sheet.y - 10.0;
    for member in &network.containers {
        container(&mut sheet, member, &mut joint);
    }
    sheet.y += 14.0;
    if network.containers.is_empty() {
        sheet.remark("no container is attached");
    }
    match network.gateway {
        Some(gateway) => sheet.remark(&format!(
            "Its containers reach each other and {gateway}. No port is published, and tiny-ce \
             forwards nothing beyond the bridge."
        )),
        None => sheet.remark("Its record is damaged: \"tiny-ce network rm\" clears it away."),
    }
    sheet.finish(TITLE)
}

fn bridge(network: &Network, sheet: &mut Sheet) {
    sheet.card("bridge on the host", |sheet| {
        sheet.fact("interface", None, &network.bridge);
        if let Some(subnet) = network.subnet {
            sheet.fact("subnet", None, &subnet.to_string());
        }
        if let Some(gateway) = network.gateway {
            sheet.fact("address", None, &format!("{gateway}, the containers' default route"));
        }
        // The record says it, and of a damaged one nothing is known.
        if network.subnet.is_some() {
            let mtu = network.mtu.map_or("1500, the kernel's".to_owned(), |mtu| mtu.to_string());
            sheet.fact("largest packet", None, &mtu);
        }
        let (state, words) = match network.stage {
            Stage::Ready => (State::Own, ""),
            Stage::Damaged => (State::Open, ""),
            Stage::Creating | Stage::Removing => (State::Open, ": interrupted, and half made"),
        };
        sheet.fact("state", Some(state), &format!("{}{words}", network.stage.word()));
        sheet.fact("containers", None, &network.containers.len().to_string());
    });
}

/// A container's box, joined to the trunk, which it prolongs from `joint`.
fn container(sheet: &mut Sheet, member: &Member, joint: &mut f64) {
    let top = sheet.y;
    let address = member.address.to_string();
    let names = wrap(&member.id, RIGHT - 20.0 - width(&address) - BOX - 12.0);
    let height = 20.0 + 15.0 * (names.len() + 1) as f64;
    let (wide, middle) = (WIDTH - 10.0 - BOX, top + 16.0);
    let _ = writeln!(
        sheet.body,
        "<path class=\"lead\" d=\"M{TRUNK} {joint:.1}V{middle:.1}H{BOX}\"/>\n\
         <rect class=\"lane\" x=\"{BOX}\" y=\"{top:.1}\" width=\"{wide}\" height=\"{height:.1}\" \
         rx=\"6\"/>"
    );
    *joint = middle;
    mono(&mut sheet.body, "end", (RIGHT, top + 20.0), &address);
    sheet.y = top + 20.0;
    for name in names {
        mono(&mut sheet.body, "", (BOX + 12.0, sheet.y), &name);
        sheet.y += 15.0;
    }
    let inside = member.interface.as_deref().unwrap_or("its interface");
    let words = format!("{inside} = {} on the host", member.host_interface);
    text(&mut sheet.body, "quiet", (BOX + 12.0, sheet.y + 2.0), &words);
    sheet.y = top + height + LEFT / 2.0;
}
