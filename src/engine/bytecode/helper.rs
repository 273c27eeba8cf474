//! The process that compiles: `compile.py` under an environment's base interpreter, isolated, at
//! idle priority. One request at a time; a process that dies takes only its request with it.

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program.
const HELPER: &str = include_str!("compile.py");

/// What it answers for a source that does not compile.
const FAILED: u64 = u64::MAX;

/// Longer than any bytecode file; an answer beyond it is nonsense.
const LONGEST: u64 = 1 << 30;

/// A running `compile.py`; ends when dropped.
pub(super) struct Helper {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts one under this interpreter.
    pub(super) fn start(python: &Path) -> std::io::Result<Self> {
        let mut child = Command::new(python)
            .args(["-I", "-S", "-B", "-c", HELPER])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) = pipes.ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// The bytecode file, or `None` where the source does not compile.
    pub(super) fn compile(&mut self, request: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        self.requests.write_all(request)?;
        self.requests.write_all(b"\n")?;
        let mut length = [0; 8];
        self.answers.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length == FAILED {
            return Ok(None);
        }
        if length > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut content = vec![0; length as usize];
        self.answers.read_exact(&mut content)?;
        Ok(Some(content))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends by itself at the end of its input; this only makes sure.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
