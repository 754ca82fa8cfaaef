//! `explain --analyze`, and `--analyze` of `run`: run a container, and print what its steps took.
//!
//! Chooses where the output goes. `analysis` takes the times, and `render` prints them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::render;
use super::value::{FigureFormat, Order};
use crate::analysis::Recorder;
use crate::container::{self, LaunchOptions, RunOptions, Source};
use crate::{Error, Result, log, sys};

/// The file of `run --analyze`, and what takes the times; the default is off.
///
/// The file is opened before the container is made, so that a wrong path is an error at once. What
/// it had before stays until there is an analysis, and a new file goes away if there is none.
#[derive(Default)]
pub struct Report {
    recorder: Recorder,
    file: Option<(PathBuf, File)>,
    made: bool,
}

impl Report {
    /// Open the file, if there is one, and begin.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn begin(path: Option<&Path>) -> Result<Report> {
        let Some(path) = path else { return Ok(Report::default()) };
        let mut options = OpenOptions::new();
        options.write(true);
        let (file, made) = match options.open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => (options.create(true).open(path), true),
            result => (result, false),
        };
        let file = file.map_err(|e| failed(path, "open", &e))?;
        Ok(Report { recorder: Recorder::on(), file: Some((path.to_owned(), file)), made })
    }

    /// What takes the times.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// The container has ended: write the file, in the form that its name asks for. If that fails,
    /// it is a warning: the program has run, and its status is what counts.
    pub fn end(mut self) {
        match self.write() {
            Ok(()) => self.made = false,
            Err(error) => log::warning(&format!("{}; the program has run", error.line())),
        }
    }

    fn write(&self) -> Result<()> {
        let Some((path, file)) = &self.file else { return Ok(()) };
        let Some(analysis) = self.recorder.analysis()? else { return Ok(()) };
        let format = match path.extension().and_then(|it| it.to_str()) {
            Some("json") => FigureFormat::Json,
            Some("svg") => FigureFormat::Svg,
            _ => FigureFormat::Text,
        };
        let text = render::analysis::analysis(analysis, format, Order::Plan)?;
        // A pipe and a device have no length.
        if file.metadata().is_ok_and(|it| it.is_file()) {
            file.set_len(0).map_err(|e| failed(path, "ftruncate", &e))?;
        }
        let mut file = file;
        file.write_all(text.as_bytes()).map_err(|e| failed(path, "write", &e))
    }
}

/// Remove a file that we made, and that has no analysis, unless another is there by now.
impl Drop for Report {
    fn drop(&mut self) {
        let Some((path, file)) = self.file.as_ref().filter(|_| self.made) else { return };
        let identity = |it: Metadata| (it.dev(), it.ino());
        let own = file.metadata().map(identity);
        if own.is_ok_and(|own| path.symlink_metadata().map(identity).is_ok_and(|it| it == own)) {
            // An empty file is all that is left if it fails.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn failed(path: &Path, call: &'static str, error: &std::io::Error) -> Error {
    Error::io(format_args!("--analyze {}", path.display()), call, error)
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
    (format, order): (FigureFormat, Order),
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
