//! The benchmark as an SVG picture: bars of CPU time and of wall time, readable on a light and a
//! dark page.

use std::fmt::Write;

use crate::stories::Row;
use crate::table::{cpu, wall};

const WIDTH: f64 = 640.0;
const LABEL: f64 = 130.0;
const BAR: f64 = 15.0;
const ROW: f64 = 26.0;

/// One of the charts, which are drawn below each other: its title, and the value of each program.
struct Chart {
    title: &'static str,
    value: fn(&Row) -> f64,
}

const CHARTS: &[Chart] = &[
    Chart { title: "run: CPU time of all processes, ms", value: |row| cpu(&row.burst) },
    Chart { title: "run, one after the other: wall time, ms", value: |row| wall(&row.burst) },
    Chart { title: "run, alone: wall time, ms", value: |row| wall(&row.alone) },
    Chart { title: "create+start+delete: CPU time, ms", value: |row| cpu(&row.life) },
    Chart { title: "exec: CPU time, ms", value: |row| cpu(&row.exec) },
];

const STYLE: &str = ".page{fill:#fff}text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-weight:600}.bar{fill:#8c959f}.own{fill:#0969da}.floor{fill:#bf8700}\
@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.bar{fill:#6e7681}\
.own{fill:#4493f8}.floor{fill:#d29922}}";

/// Draw all charts.
pub fn svg(rows: &[Row]) -> String {
    let (mut body, mut y) = (String::new(), 10.0);
    for chart in CHARTS {
        draw(&mut body, chart, rows, &mut y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" \
         aria-label=\"What a container costs\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{y}\"/>\n{body}</svg>\n"
    )
}

fn draw(body: &mut String, chart: &Chart, rows: &[Row], y: &mut f64) {
    let shown: Vec<(&Row, f64)> = rows
        .iter()
        .map(|row| (row, (chart.value)(row)))
        .filter(|(_, value)| *value > 0.0)
        .collect();
    let largest = shown.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    *y += ROW;
    let _ =
        writeln!(body, "<text class=\"title\" x=\"10\" y=\"{}\">{}</text>", *y - 8.0, chart.title);
    for (row, value) in shown {
        let name = &row.program.name;
        let class = match (name.starts_with("tiny-ce"), row.program.is_runtime()) {
            (true, _) => "own",
            (_, true) => "bar",
            _ => "floor",
        };
        let width = (WIDTH - LABEL - 80.0) * value / largest;
        let (base, top) = (*y + 12.0, *y);
        let _ = write!(body, "<text x=\"10\" y=\"{base}\">{name}</text>");
        let _ = write!(
            body,
            "<rect class=\"{class}\" x=\"{LABEL}\" y=\"{top}\" width=\"{width:.1}\" \
             height=\"{BAR}\" rx=\"2\"><title>{name}: {value:.2} ms</title></rect>"
        );
        let _ =
            writeln!(body, "<text x=\"{:.1}\" y=\"{base}\">{value:.2}</text>", LABEL + width + 6.0);
        *y += ROW - 5.0;
    }
    *y += 8.0;
}
