//! The benchmark's figures: medians, and a table of them in Markdown.
//! Measures nothing.

use std::time::Duration;

/// A program's times.
pub struct Row {
    /// As the table names it.
    pub name: String,
    /// Of each `run`.
    pub run: Vec<Duration>,
    /// Of each `create`, `start` and `delete` together; none for the floor.
    pub life: Vec<Duration>,
}

impl Row {
    /// A row without times.
    pub fn new(name: &str) -> Row {
        Row { name: name.to_owned(), run: Vec::new(), life: Vec::new() }
    }
}

/// The middle one; zero of none.
pub fn median(times: &[Duration]) -> Duration {
    percentile(times, 50)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

/// Print the table: times in milliseconds, ratios to the first row and to tiny-ce.
pub fn print(rows: &[Row], turns: usize) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cgroup = if tiny_ce_test::cgroup_v2() { "v2" } else { "v1" };
    println!("A container of runc's default config.json and a static payload that exits at once.");
    println!("Medians of {turns} turns in ms, Linux {}, cgroup {cgroup}.\n", kernel.trim());
    println!("| program | run | 10 % – 90 % | × floor | × tiny-ce | create+start+delete | × |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let of = |name: &str| rows.iter().find(|row| row.name == name);
    let ratio = |time: Duration, to: Option<Duration>| match to {
        Some(to) if !time.is_zero() && !to.is_zero() => {
            format!("{:.2}", time.as_secs_f64() / to.as_secs_f64())
        }
        _ => String::new(),
    };
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let ours = of("tiny-ce");
    for row in rows {
        let (run, life) = (median(&row.run), median(&row.life));
        let spread = [10, 90].map(|percent| ms(percentile(&row.run, percent))).join(" – ");
        println!(
            "| {} | {} | {spread} | {} | {} | {} | {} |",
            row.name,
            ms(run),
            ratio(run, of("floor").map(|row| median(&row.run))),
            ratio(run, ours.map(|row| median(&row.run))),
            if row.life.is_empty() { String::new() } else { ms(life) },
            ratio(life, ours.map(|row| median(&row.life))),
        );
    }
}
