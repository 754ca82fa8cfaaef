//! An analysis, printed: as text, as JSON and as a picture.
//!
//! Knows the forms. Must not know how times are taken.

mod svg;
mod text;

use crate::analysis::{Analysis, StepOutcome};
use crate::cli::value::{FigureFormat, Order};
use crate::{Error, Result};

/// Print an analysis, its steps and phases in this order.
///
/// # Errors
/// It cannot be written as JSON.
pub fn analysis(mut analysis: Analysis, format: FigureFormat, order: Order) -> Result<String> {
    if order == Order::Time {
        let skipped = StepOutcome::Skipped;
        analysis.launcher.sort_by_key(|it| std::cmp::Reverse(it.end_ns - it.start_ns));
        analysis.steps.sort_by_key(|it| {
            (it.outcome == skipped, std::cmp::Reverse(it.end_ns - it.start_ns), it.number)
        });
    }
    match format {
        FigureFormat::Text => Ok(text::text(&analysis, order)),
        FigureFormat::Svg => Ok(svg::svg(&analysis)),
        FigureFormat::Json => {
            let text = serde_json::to_string_pretty(&analysis);
            text.map(|text| text + "\n").map_err(|e| Error::new(format!("as JSON: {e}")))
        }
    }
}
