//! `explain --analyze`, and `--analyze` of `run`: run a container, and print what its steps took.
//!
//! Chooses where the output goes. `analysis` takes the times, and `render` prints them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::render;
use super::value::{AnalysisFormat, Order};
use crate::analysis::Recorder;
use crate::container::{self, LaunchOptions, RunOptions, Source};
use crate::{Error, Result, sys};

/// The file of `run --analyze`, and what takes the times; the default is off.
#[derive(Default)]
pub struct Report {
    recorder: Recorder,
    file: Option<(PathBuf, File)>,
}

impl Report {
    /// Open the file, if there is one, and begin.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn begin(path: Option<&Path>) -> Result<Report> {
        let Some(path) = path else { return Ok(Report::default()) };
        let file = File::create(path)
            .map_err(|e| Error::io(format_args!("--analyze {}", path.display()), "open", &e))?;
        Ok(Report { recorder: Recorder::on(), file: Some((path.to_owned(), file)) })
    }

    /// What takes the times.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// The container has ended: write the file, in the form that its name asks for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(self) -> Result<()> {
        let Some((path, mut file)) = self.file else { return Ok(()) };
        let Some(analysis) = self.recorder.analysis()? else { return Ok(()) };
        let format = match path.extension().and_then(|it| it.to_str()) {
            Some("json") => AnalysisFormat::Json,
            Some("svg") => AnalysisFormat::Svg,
            _ => AnalysisFormat::Text,
        };
        let text = render::analysis::analysis(analysis, format, Order::Plan)?;
        file.write_all(text.as_bytes())
            .map_err(|e| Error::io(format_args!("--analyze {}", path.display()), "write", &e))
    }
}

/// Run a container to its end, its standard output on our standard error, and print the analysis.
/// Return the program's exit status.
///
/// # Errors
/// As [`container::run`], or standard output cannot be written.
pub fn run_and_print(
    (root, id): (&Path, &str),
    source: Source,
    options: &LaunchOptions,
    (format, order): (AnalysisFormat, Order),
) -> Result<i32> {
    let failed = |call| move |e: std::io::Error| Error::io("standard output", call, &e);
    let mut output = sys::file::divert_stdout().map_err(failed("dup2"))?;
    let code = container::run(root, id, source, options, RunOptions::default())?;
    let Some(analysis) = options.recorder.analysis()? else { return Ok(code) };
    let text = render::analysis::analysis(analysis, format, order)?;
    match output.write_all(text.as_bytes()) {
        // The reader has closed the pipe (`| head`).
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(code),
        result => result.map(|()| code).map_err(failed("write")),
    }
}
