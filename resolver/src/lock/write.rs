//! A lock as text, always the same for the same lock.

use std::fmt::{self, Display, Write as _};

use blast_types::MarkerTree;
use blast_types::versions::specifiers_text;

use super::{Location, Lock, LockedFile, LockedPackage, LockedSource};

impl Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lock-version = \"1.0\"")?;
        let environments = self
            .environments
            .iter()
            .filter_map(|marker| marker.try_to_string());
        let environments: Vec<String> = environments.collect();
        if environments.len() > 1 {
            write_lines(f, "environments", &environments)?;
        } else {
            write_list(f, "environments", environments)?;
        }
        if let Some(specifiers) = &self.requires_python {
            writeln!(
                f,
                "requires-python = {}",
                string(&specifiers_text(specifiers))
            )?;
        }
        write_list(f, "extras", &self.extras)?;
        write_list(f, "dependency-groups", &self.dependency_groups)?;
        write_list(f, "default-groups", &self.default_groups)?;
        writeln!(f, "created-by = {}", string(&self.created_by))?;
        let mut packages: Vec<_> = self.packages.iter().collect();
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        if packages.is_empty() {
            writeln!(f, "packages = []")?;
        }
        for package in packages {
            write_package(f, package)?;
        }
        if let Some(made_from) = &self.made_from {
            writeln!(f, "\n[tool.blast]")?;
            match made_from.requirements.as_deref() {
                None => {}
                Some([]) => writeln!(f, "requirements = []")?,
                Some(requirements) => write_lines(f, "requirements", requirements)?,
            }
            let limits = &made_from.limits;
            write_lines(f, "constraints", &limits.constraints)?;
            write_lines(f, "overrides", &limits.overrides)?;
            let excludes: Vec<_> = limits.excludes.iter().map(ToString::to_string).collect();
            write_lines(f, "exclude", &excludes)?;
            let forks = made_from.forks.iter();
            let forks: Vec<_> = forks.filter_map(|marker| marker.try_to_string()).collect();
            write_lines(f, "forks", &forks)?;
        }
        Ok(())
    }
}

fn write_package(f: &mut fmt::Formatter<'_>, package: &LockedPackage) -> fmt::Result {
    writeln!(
        f,
        "\n[[packages]]\nname = {}",
        string(package.name.as_str())
    )?;
    if let Some(version) = &package.version {
        writeln!(f, "version = {}", string(&version.to_string()))?;
    }
    if let Some(marker) = shown(package.marker) {
        writeln!(f, "marker = {}", string(&marker))?;
    }
    if let Some(specifiers) = &package.requires_python {
        writeln!(
            f,
            "requires-python = {}",
            string(&specifiers_text(specifiers))
        )?;
    }
    if !package.dependencies.is_empty() {
        writeln!(f, "dependencies = [")?;
        for name in &package.dependencies {
            writeln!(f, "    {{ name = {} }},", string(name.as_str()))?;
        }
        writeln!(f, "]")?;
    }
    if let Some(index) = &package.index {
        writeln!(f, "index = {}", string(index))?;
    }
    write_source(f, &package.source)?;
    match &package.known {
        Some(known) if !known.requires.is_empty() || !known.extras.is_empty() => {
            writeln!(f, "[packages.tool.blast]")?;
            write_list(f, "extras", &known.extras)?;
            let requires: Vec<_> = known.requires.iter().map(ToString::to_string).collect();
            if !requires.is_empty() {
                write_lines(f, "requires", &requires)?;
            }
            Ok(())
        }
        Some(_) => writeln!(f, "tool = {{ blast = {{}} }}"),
        None => Ok(()),
    }
}

/// A list with a line for each item: where items come and go, so do lines.
fn write_lines(f: &mut fmt::Formatter<'_>, key: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "{key} = [")?;
    for item in items {
        writeln!(f, "    {},", string(item))?;
    }
    writeln!(f, "]")
}

fn shown(marker: MarkerTree) -> Option<String> {
    marker.try_to_string()
}

fn write_source(f: &mut fmt::Formatter<'_>, source: &LockedSource) -> fmt::Result {
    match source {
        LockedSource::Files { wheels, sdist } => {
            if let Some(file) = sdist {
                writeln!(f, "sdist = {}", inline(&file_fields(file)))?;
            }
            if !wheels.is_empty() {
                let mut wheels: Vec<_> = wheels.iter().collect();
                wheels.sort_by(|a, b| a.name.cmp(&b.name));
                writeln!(f, "wheels = [")?;
                for file in wheels {
                    writeln!(f, "    {},", inline(&file_fields(file)))?;
                }
                writeln!(f, "]")?;
            }
            Ok(())
        }
        LockedSource::Archive { file, subdirectory } => {
            let mut fields = file_fields(file);
            // The name is no member of an archive's table.
            fields.retain(|(key, _)| *key != "name");
            push_text(&mut fields, "subdirectory", subdirectory.as_deref());
            writeln!(f, "archive = {}", inline(&fields))
        }
        LockedSource::Directory {
            path,
            editable,
            subdirectory,
        } => {
            let mut fields = vec![("path", string(path))];
            if *editable {
                fields.push(("editable", "true".to_owned()));
            }
            push_text(&mut fields, "subdirectory", subdirectory.as_deref());
            writeln!(f, "directory = {}", inline(&fields))
        }
        LockedSource::Vcs {
            kind,
            location,
            requested_revision,
            commit_id,
            subdirectory,
        } => {
            let mut fields = vec![("type", string(kind))];
            fields.extend(location_fields(location));
            push_text(
                &mut fields,
                "requested-revision",
                requested_revision.as_deref(),
            );
            fields.push(("commit-id", string(commit_id)));
            push_text(&mut fields, "subdirectory", subdirectory.as_deref());
            writeln!(f, "vcs = {}", inline(&fields))
        }
    }
}

type Fields = Vec<(&'static str, String)>;

fn file_fields(file: &LockedFile) -> Fields {
    let mut fields = vec![("name", string(&file.name))];
    if let Some(time) = file
        .upload_time_ms
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
    {
        fields.push(("upload-time", time.to_string()));
    }
    fields.extend(location_fields(&file.location));
    if let Some(size) = file.size {
        fields.push(("size", size.to_string()));
    }
    let hashes: Vec<String> = file
        .hashes
        .iter()
        .map(|(key, digest)| format!("{} = {}", bare(key), string(digest)))
        .collect();
    fields.push(("hashes", format!("{{ {} }}", hashes.join(", "))));
    fields
}

fn location_fields(location: &Location) -> Fields {
    match location {
        Location::Url(url) => vec![("url", string(url))],
        Location::Path(path) => vec![("path", string(path))],
        Location::Either { path, url } => vec![("url", string(url)), ("path", string(path))],
    }
}

fn push_text(fields: &mut Fields, key: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        fields.push((key, string(value)));
    }
}

fn inline(fields: &Fields) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!("{{ {} }}", fields.join(", "))
}

fn write_list<T: Display>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| string(&item.to_string()))
        .collect();
    if items.is_empty() {
        Ok(())
    } else {
        writeln!(f, "{key} = [{}]", items.join(", "))
    }
}

/// A key that needs quotes gets them.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        string(key)
    }
}

/// A basic string.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
