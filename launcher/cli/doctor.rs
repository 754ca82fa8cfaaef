//! `doctor`: what was found about this machine, printed.

use std::io;

use super::table::command;
use super::value::choice;
use super::{Globals, print};
use crate::Error;
use crate::colour::{Colour, Paint};
use crate::doctor::{Finding, able, examine};

choice! {
    /// How findings are printed.
    pub enum TextFormat {
        /// A line for each, with what to do below it.
        "text" Text,
        /// One JSON document.
        "json" Json,
    }
}

command! {
    /// Print what this machine offers to containers, and what it lacks.
    ///
    /// Each item is ok, a warning, or missing, with a hint for what to do. The exit status is 1 if
    /// no container can run at all, and 0 otherwise.
    pub struct Doctor = "doctor" {
        options {
            /// Output format; default: text.
            "-f, --format text|json" format: Option<TextFormat>,
        }
        examples {
            "doctor": "check for the calling user; root may see other results",
        }
        run = |it, globals: &Globals| {
            let findings = examine(globals.state_root().as_ref().map(|root| root.as_path()));
            match it.format {
                Some(TextFormat::Json) => {
                    let json = serde_json::to_string_pretty(&findings)
                        .map_err(|e| Error::new(format!("findings as JSON: {e}")))?;
                    print(&(json + "\n"))?;
                }
                _ => drop(print(&text(&findings, Paint::of(&io::stdout())))?),
            }
            Ok(u8::from(!able(&findings)))
        };
    }
}

fn text(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for it in findings {
        let word = format!("{:<8}", it.verdict.word());
        let word = paint.word(it.verdict.colour(), &word);
        text += &format!("{word} {}: {}\n", it.what, it.detail);
        if let Some(hint) = &it.hint {
            text += &format!("{:<8}   {} {hint}\n", "", paint.word(Colour::Cyan, "hint:"));
        }
    }
    match able(findings) {
        true => text,
        false => text + "\nno container can run here\n",
    }
}
