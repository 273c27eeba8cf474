//! Wheels made on the spot: what a test names goes in, the rest is as a build backend would
//! write it (METADATA, WHEEL, entry points, a true RECORD).

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::zipfile::{Member, ZipFile};

/// A wheel in the making. Every method returns the wheel, so that a test reads as one sentence.
#[derive(Debug, Clone)]
pub struct WheelSpec {
    name: String,
    version: String,
    tag: String,
    pure: bool,
    headers: Vec<String>,
    entry_points: Vec<(&'static str, String, String)>,
    members: Vec<Member>,
}

impl WheelSpec {
    /// A pure wheel of this name and version, with no module in it yet.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tag: "py3-none-any".to_owned(),
            pure: true,
            headers: Vec::new(),
            entry_points: Vec::new(),
            members: Vec::new(),
        }
    }

    /// [`WheelSpec::new`] with a package of the same name whose `__version__` is the version.
    pub fn simple(name: &str, version: &str) -> Self {
        let module = name.replace(['-', '.'], "_");
        Self::new(name, version).file(
            &format!("{module}/__init__.py"),
            &format!("__version__ = {version:?}\n"),
        )
    }

    /// A file of the archive, by its path in there.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Self {
        self.member(Member::new(path, text))
    }

    /// A file that the archive calls executable.
    #[must_use]
    pub fn executable(self, path: &str, text: &str) -> Self {
        self.member(Member::new(path, text).mode(0o100_755))
    }

    /// Any member.
    #[must_use]
    pub fn member(mut self, member: Member) -> Self {
        self.members.push(member);
        self
    }

    /// A file of `NAME-VERSION.data/data`, which lands in the prefix.
    #[must_use]
    pub fn data(self, path: &str, text: &str) -> Self {
        let path = format!("{}.data/data/{path}", self.stem());
        self.file(&path, text)
    }

    /// A script of `NAME-VERSION.data/scripts`; `#!python` in its first line is for the installer.
    #[must_use]
    pub fn script(self, name: &str, text: &str) -> Self {
        let path = format!("{}.data/scripts/{name}", self.stem());
        self.executable(&path, text)
    }

    /// A header of `NAME-VERSION.data/headers`.
    #[must_use]
    pub fn header(self, path: &str, text: &str) -> Self {
        let path = format!("{}.data/headers/{path}", self.stem());
        self.file(&path, text)
    }

    /// A console script, such as `("demo", "demo.cli:main")`.
    #[must_use]
    pub fn entry_point(mut self, name: &str, target: &str) -> Self {
        self.entry_points
            .push(("console_scripts", name.to_owned(), target.to_owned()));
        self
    }

    /// A gui script.
    #[must_use]
    pub fn gui_script(mut self, name: &str, target: &str) -> Self {
        self.entry_points
            .push(("gui_scripts", name.to_owned(), target.to_owned()));
        self
    }

    /// A dependency in PEP 508 form.
    #[must_use]
    pub fn requires(self, requirement: &str) -> Self {
        self.metadata_line(&format!("Requires-Dist: {requirement}"))
    }

    /// An extra and what it adds.
    #[must_use]
    pub fn extra(self, extra: &str, requirements: &[&str]) -> Self {
        requirements.iter().fold(
            self.metadata_line(&format!("Provides-Extra: {extra}")),
            |wheel, requirement| wheel.requires(&format!("{requirement} ; extra == \"{extra}\"")),
        )
    }

    /// The range of Pythons.
    #[must_use]
    pub fn requires_python(self, range: &str) -> Self {
        self.metadata_line(&format!("Requires-Python: {range}"))
    }

    /// A line of METADATA.
    #[must_use]
    pub fn metadata_line(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// The compatibility tag in place of `py3-none-any`.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.tag);
        self
    }

    /// A wheel whose root goes to `platlib`.
    #[must_use]
    pub fn platform_specific(mut self) -> Self {
        self.pure = false;
        self
    }

    /// The project's name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `name-version` as file names have it.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.name.replace(['-', '.'], "_"), self.version)
    }

    /// The file name.
    pub fn filename(&self) -> String {
        format!("{}-{}.whl", self.stem(), self.tag)
    }

    /// The text of METADATA.
    pub fn metadata(&self) -> String {
        let mut text = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\nSummary: made by a test\n",
            self.name, self.version
        );
        for line in &self.headers {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\nA long description.\n");
        text
    }

    /// The archive with a RECORD that is true of it.
    pub fn zip(&self) -> ZipFile {
        let dist_info = format!("{}.dist-info", self.stem());
        let mut members = self.members.clone();
        members.push(Member::new(
            format!("{dist_info}/METADATA"),
            self.metadata(),
        ));
        members.push(Member::new(format!("{dist_info}/WHEEL"), self.wheel_text()));
        if !self.entry_points.is_empty() {
            let name = format!("{dist_info}/entry_points.txt");
            members.push(Member::new(name, self.entry_points_text()));
        }
        let record = format!("{dist_info}/RECORD");
        let text = record_text(&members, &record);
        members.push(Member::new(record, text));
        ZipFile { members }
    }

    /// The wheel as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.zip().bytes()
    }

    /// Writes the wheel into a folder and returns its path.
    pub fn write_to(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).expect("the folder can be made");
        let path = folder.join(self.filename());
        fs::write(&path, self.bytes()).expect("the wheel can be written");
        path
    }

    fn wheel_text(&self) -> String {
        format!(
            "Wheel-Version: 1.0\nGenerator: blast-harness\nRoot-Is-Purelib: {}\nTag: {}\n",
            self.pure, self.tag
        )
    }

    fn entry_points_text(&self) -> String {
        let mut text = String::new();
        for group in ["console_scripts", "gui_scripts"] {
            let mut of_group = self
                .entry_points
                .iter()
                .filter(|(of, ..)| *of == group)
                .peekable();
            if of_group.peek().is_some() {
                let _ = writeln!(text, "[{group}]");
            }
            for (_, name, target) in of_group {
                let _ = writeln!(text, "{name} = {target}");
            }
        }
        text
    }
}

/// RECORD rows of these members, and the row of RECORD itself.
pub(crate) fn record_text(members: &[Member], record: &str) -> String {
    let mut text = String::new();
    for member in members.iter().filter(|member| !member.name.ends_with(b"/")) {
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&member.body));
        let _ = writeln!(
            text,
            "{},sha256={digest},{}",
            member.name_text(),
            member.body.len()
        );
    }
    text + record + ",,\n"
}
