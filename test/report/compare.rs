//! A report beside an earlier one: the same rows, the same verdicts, figures within their noise.
//!
//! Knows the data only. What was not measured this time, and what this machine cannot do, is named
//! and not compared.

use std::collections::BTreeMap;

use crate::page::{Cell, Experiment, Noise, Part, Report, Section, Verdict};

/// Sections whose rows are what the machine has, or the steps of .ci/run: programs, engines, which
/// may be others by now. Their verdicts and figures are compared all the same.
const OF_THE_MACHINE: &[&str] = &["The benchmark", "Kernels", "Engines"];

/// What a comparison found.
#[derive(Default)]
pub struct Comparison {
    /// What is not as it was.
    pub differences: Vec<String>,
    /// What could not be compared.
    pub left_out: Vec<String>,
    /// The number of rows with the same verdict.
    pub rows: usize,
    /// The number of figures within their noise.
    pub figures: usize,
}

/// Compare a report with the earlier one.
pub fn compare(earlier: &Report, now: &Report) -> Comparison {
    let mut found = Comparison::default();
    for section in &now.sections {
        let name = &section.heading.say;
        match earlier.sections.iter().find(|it| it.heading.say == *name) {
            Some(before) => found.section(before, section),
            None => found.differences.push(format!("{name}: a new section")),
        }
    }
    for before in &earlier.sections {
        let name = &before.heading.say;
        if !now.sections.iter().any(|section| section.heading.say == *name) {
            found.differences.push(format!("{name}: the section is gone"));
        }
    }
    found
}

/// A row of a table, or an experiment: the same for both.
struct Row<'a> {
    figures: Vec<(f64, Noise)>,
    verdict: Option<&'a Verdict>,
}

/// The rows of a section, by what they are called; the second of a name has a number.
fn rows(section: &Section) -> Vec<(String, Row<'_>)> {
    let (mut all, mut seen) = (Vec::new(), BTreeMap::new());
    let mut add = |name: String, row| {
        let number = seen.entry(name.clone()).and_modify(|it| *it += 1).or_insert(1);
        let name = if *number > 1 { format!("{name} ({number})") } else { name };
        all.push((name, row));
    };
    for (place, part) in section.parts.iter().enumerate() {
        match part {
            Part::Words(_) => {}
            Part::Picture { file, .. } => {
                add(file.clone(), Row { figures: Vec::new(), verdict: None });
            }
            Part::Table { rows, .. } => {
                for cells in rows {
                    add(format!("{place}: {}", name(cells)), row(cells));
                }
            }
            Part::Experiments(list) => {
                for it in list {
                    add(
                        called(it),
                        Row { figures: it.figures.clone(), verdict: Some(&it.verdict) },
                    );
                }
            }
        }
    }
    all
}

/// An experiment with other commands is another one.
fn called(experiment: &Experiment) -> String {
    let commands: Vec<&str> = experiment.session.iter().map(|(command, _)| &**command).collect();
    let commands = commands.join("; ");
    let short: String = commands.chars().take(60).collect();
    format!("{} ({short}…, {} bytes)", experiment.title.say, commands.len())
}

fn name(cells: &[Cell]) -> String {
    let words = cells.iter().filter_map(|cell| match cell {
        Cell::Words(words) => Some(words.say.as_str()),
        Cell::Name(name) => Some(name),
        _ => None,
    });
    words.collect::<Vec<_>>().join(", ")
}

fn row(cells: &[Cell]) -> Row<'_> {
    let figures = cells.iter().filter_map(|cell| match cell {
        Cell::Figure { value, noise, .. } => Some((*value, *noise)),
        _ => None,
    });
    let verdict = cells.iter().find_map(|cell| match cell {
        Cell::Verdict(verdict) => Some(verdict),
        _ => None,
    });
    Row { figures: figures.collect(), verdict }
}

impl Comparison {
    fn section(&mut self, earlier: &Section, now: &Section) {
        let heading = &now.heading.say;
        let (before, after) = (rows(earlier), rows(now));
        if before.is_empty() != after.is_empty() {
            return self.left_out.push(format!("{heading}: measured in one of the two only"));
        }
        for (name, row) in &after {
            match before.iter().find(|(other, _)| other == name) {
                Some((_, old)) => self.row(&format!("{heading}: {name}"), old, row),
                None if matches!(row.verdict, Some(Verdict::NotHere(_))) => {}
                None => self.other_row(heading, &format!("{name}: a new row")),
            }
        }
        let here = |name: &str| after.iter().any(|(other, _)| other == name);
        for (name, _) in before.iter().filter(|(name, _)| !here(name)) {
            self.other_row(heading, &format!("{name}: the row is gone"));
        }
    }

    /// Another row is a difference, but where the rows are what the machine has.
    fn other_row(&mut self, heading: &str, what: &str) {
        let list = match OF_THE_MACHINE.contains(&heading) {
            true => &mut self.left_out,
            false => &mut self.differences,
        };
        list.push(format!("{heading}: {what}"));
    }

    fn row(&mut self, name: &str, before: &Row<'_>, now: &Row<'_>) {
        match (before.verdict, now.verdict) {
            (_, Some(Verdict::Broken)) => {
                return self.differences.push(format!("{name}: not held"));
            }
            (_, Some(Verdict::NotHere(why))) => {
                return self.left_out.push(format!("{name}: {}", why.say));
            }
            (Some(Verdict::NotHere(_)), _) => {
                return self.left_out.push(format!("{name}: the earlier report has it not"));
            }
            _ => self.rows += 1,
        }
        for ((old, _), (new, noise)) in before.figures.iter().zip(&now.figures) {
            let most = match noise {
                Noise::Any => continue,
                Noise::Points(points) => *points,
                Noise::Percent(percent) => old.abs() * percent / 100.0,
            };
            self.figures += 1;
            if (new - old).abs() > most {
                self.differences.push(format!("{name}: {new:.2}, and {old:.2} before"));
            }
        }
        if before.figures.len() != now.figures.len() {
            self.differences.push(format!("{name}: other figures"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::words;

    fn report(verdict: Verdict, percent: f64, milliseconds: f64) -> Report {
        let figure = |value, noise| Cell::Figure { value, decimals: 1, noise };
        let cells = vec![
            Cell::Words(words("CPU shares of three to one")),
            figure(percent, Noise::Points(5.0)),
            figure(milliseconds, Noise::Any),
            Cell::Verdict(verdict),
        ];
        let table = Part::Table { head: Vec::new(), rows: vec![cells] };
        Report { sections: vec![Section { heading: words("The promises"), parts: vec![table] }] }
    }

    #[test]
    fn noise_is_no_difference() {
        let earlier = report(Verdict::Held, 75.0, 1.0);
        let found = compare(&earlier, &report(Verdict::Held, 79.9, 100.0));
        assert_eq!(found.differences, Vec::<String>::new());
        assert_eq!((found.rows, found.figures), (1, 1));
        let lacking = Verdict::NotHere(words("it needs root"));
        let found = compare(&earlier, &report(lacking.clone(), 0.0, 0.0));
        assert_eq!((found.differences.len(), found.left_out.len()), (0, 1));
        let found = compare(&report(lacking, 0.0, 0.0), &earlier);
        assert_eq!((found.differences.len(), found.left_out.len()), (0, 1));
    }

    #[test]
    fn a_difference_is_found() {
        let earlier = report(Verdict::Held, 75.0, 1.0);
        let differ = |now: &Report| compare(&earlier, now).differences;
        assert!(differ(&report(Verdict::Broken, 75.0, 1.0))[0].ends_with(": not held"));
        let found = differ(&report(Verdict::Held, 80.1, 1.0));
        assert!(found[0].ends_with("80.10, and 75.00 before"), "{found:?}");
        let mut other = earlier.clone();
        let Part::Table { rows, .. } = &mut other.sections[0].parts[0] else { unreachable!() };
        rows[0][0] = Cell::Words(words("A quota of a tenth of a CPU"));
        assert_eq!(differ(&other).len(), 2, "a row is new, and one is gone");
        other.sections[0].heading = words("Engines");
        assert_eq!(differ(&other).len(), 2, "so it is with sections");
    }
}
