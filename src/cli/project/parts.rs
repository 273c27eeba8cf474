//! Requirements of a project with those of its extras and dependency groups (PEP 735), which may include each other.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use blast_types::{ExtraName, GroupName, PackageName, pep508};

use super::{GroupItem, Project};
use crate::error::Error;
use crate::ipc::protocol::RequirementLine;

impl Project {
    /// Adds requirements; one of the project's own extras stands for what that extra holds.
    pub(super) fn add(
        &self,
        texts: &[String],
        origin: &str,
        lines: &mut Vec<RequirementLine>,
        extras: &mut BTreeSet<ExtraName>,
    ) -> Result<(), Error> {
        let own = self
            .name()
            .and_then(|name| PackageName::from_str(name).ok());
        for text in texts {
            let requirement = pep508::requirement(text).map_err(|error| {
                Error::usage(format!(
                    "`{text}` in {origin} of {} is no requirement",
                    self.file_name
                ))
                .caused_by(&error)
            })?;
            if Some(&requirement.name) == own.as_ref() {
                for extra in &requirement.extras {
                    self.add_extra(extra.as_ref(), lines, extras)?;
                }
                continue;
            }
            let local = self.local(&requirement)?;
            let located = local.as_ref().map(|local| local.located(&requirement));
            lines.push(RequirementLine {
                text: located
                    .transpose()?
                    .map_or_else(|| text.clone(), |located| located.to_string()),
                hashes: Vec::new(),
                origin: Some(format!("{} ({origin})", self.file_name)),
                editable: local.is_some_and(|local| local.editable),
                unnamed: false,
                extras: Vec::new(),
            });
        }
        Ok(())
    }

    pub(super) fn add_extra(
        &self,
        extra: &str,
        lines: &mut Vec<RequirementLine>,
        seen: &mut BTreeSet<ExtraName>,
    ) -> Result<(), Error> {
        let name = ExtraName::from_str(extra).map_err(|error| Error::usage(error.to_string()))?;
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        let is_it = |key: &str| ExtraName::from_str(key).is_ok_and(|key| key == name);
        let found = self.file.project.as_ref().and_then(|table| {
            table
                .optional_dependencies
                .iter()
                .find(|(key, _)| is_it(key))
        });
        let Some((_, texts)) = found else {
            return Err(Error::usage(format!(
                "{} has no extra `{extra}`",
                self.path().display()
            )));
        };
        self.add(texts, &format!("extra {name}"), lines, seen)
    }

    /// A group by its name in any spelling. Only what is asked for is looked into.
    pub(super) fn group(&self, name: &str) -> Result<Option<Vec<GroupItem>>, Error> {
        let Ok(name) = GroupName::from_str(name) else {
            return Ok(None);
        };
        let is_it = |key: &str| GroupName::from_str(key).is_ok_and(|key| key == name);
        let mut found = self.file.groups.iter().filter(|(key, _)| is_it(key));
        let Some((key, items)) = found.next() else {
            return Ok(None);
        };
        if let Some((other, _)) = found.next() {
            return Err(Error::usage(format!(
                "{} has the group `{name}` twice, as `{key}` and `{other}`",
                self.path().display()
            )));
        }
        let items = items.clone().try_into::<Vec<GroupItem>>();
        items.map(Some).map_err(|_| {
            Error::usage(format!(
                "the group `{key}` of {} is no list of requirements and `{{include-group = \"…\"}}`",
                self.path().display()
            ))
        })
    }

    /// `above` are the groups that include this one, to find a circle.
    pub(in crate::cli) fn add_group(
        &self,
        group: &str,
        lines: &mut Vec<RequirementLine>,
        above: &mut Vec<String>,
    ) -> Result<(), Error> {
        let Some(items) = self.group(group)? else {
            return Err(Error::usage(format!(
                "{} has no group `{group}`",
                self.path().display()
            )));
        };
        let name = GroupName::from_str(group).map_or_else(|_| group.to_owned(), |g| g.to_string());
        if above.contains(&name) {
            above.push(name);
            return Err(Error::usage(format!(
                "the groups of {} include one another: {}",
                self.path().display(),
                above.join(" -> ")
            )));
        }
        above.push(name.clone());
        let origin = format!("group {name}");
        for item in items {
            match item {
                GroupItem::Requirement(text) => {
                    self.add(&[text], &origin, lines, &mut BTreeSet::new())?;
                }
                GroupItem::Include { group } => self.add_group(&group, lines, above)?,
            }
        }
        above.pop();
        Ok(())
    }
}
