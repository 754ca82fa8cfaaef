//! An analysis as text: a table of the launcher's phases, one of init's steps, and the totals.

use std::fmt::{self, Display, Write};

use crate::analysis::{Analysis, StepOutcome, StepTime, Usage};
use crate::cli::value::Order;

/// A time of the analysis, in microseconds with a decimal.
struct Us(u64);

impl Display for Us {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.0 / 1000, self.0 % 1000 / 100))
    }
}

/// Print it; in the order of the plan, the steps stand below their fields.
pub fn text(analysis: &Analysis, order: Order) -> String {
    let mut text = format!("{:>5} {:>12} {:>12}\n", "", "start, µs", "took, µs");
    text.push_str("the launcher\n");
    for phase in &analysis.launcher {
        let (start, took) = (Us(phase.start_ns), Us(phase.end_ns - phase.start_ns));
        let _ = writeln!(text, "{:>5} {start:>12} {took:>12}  {}", "", phase.name);
    }
    text.push_str("init\n");
    let init = &analysis.init;
    let (start, took) = (Us(init.start_ns), Us(init.plan_ns - init.start_ns));
    let _ = writeln!(text, "{:>5} {start:>12} {took:>12}  read the plan", "");
    let mut field = "";
    for step in &analysis.steps {
        if order == Order::Plan && step.field != field {
            field = &step.field;
            let _ = writeln!(text, "{field}");
        }
        line(&mut text, step, order);
    }
    totals(&mut text, analysis);
    text
}

fn line(text: &mut String, step: &StepTime, order: Order) {
    let _ = match step.outcome {
        StepOutcome::Skipped => write!(text, "{:>5} {:>12} {:>12}  ", step.number, "", "skipped"),
        _ => {
            let (start, took) = (Us(step.start_ns), Us(step.end_ns - step.start_ns));
            write!(text, "{:>5} {start:>12} {took:>12}  ", step.number)
        }
    };
    if order == Order::Time {
        let _ = write!(text, "{}: ", step.field);
    }
    text.push_str(&step.text);
    match (step.outcome, &step.errno) {
        (StepOutcome::Tolerated, Some(errno)) => {
            let _ = write!(text, " = {errno}, tolerated");
        }
        (StepOutcome::Executed, _) => text.push_str(" = the program"),
        (StepOutcome::Stays, _) => text.push_str(" = until the program has ended"),
        _ => {}
    }
    text.push('\n');
}

fn totals(text: &mut String, analysis: &Analysis) {
    let init = &analysis.init;
    let life = init.end_ns.saturating_sub(init.start_ns);
    let _ = writeln!(
        text,
        "in all\n  init       {} µs from its first instruction to the program, {} in steps and in \
         reading the plan, {} of them waiting for the launcher",
        Us(life),
        Us(init.steps_ns),
        Us(init.waited_ns)
    );
    let _ = writeln!(
        text,
        "             {} system calls, {} steps skipped, {} errors tolerated",
        init.calls, init.skipped, init.tolerated
    );
    let _ = writeln!(text, "  launcher   {}", used(&analysis.own));
    let _ = writeln!(
        text,
        "  container  {}; init, hooks and the program together",
        used(&analysis.container)
    );
}

fn used(usage: &Usage) -> String {
    let ms = |us: u64| format!("{}.{:03}", us / 1000, us % 1000);
    format!(
        "{} ms of CPU ({} user, {} system), {} page faults ({} from disk), {} waits, \
         {} preemptions",
        ms(usage.user_us + usage.system_us),
        ms(usage.user_us),
        ms(usage.system_us),
        usage.minor_faults + usage.major_faults,
        usage.major_faults,
        usage.voluntary_switches,
        usage.involuntary_switches
    )
}
