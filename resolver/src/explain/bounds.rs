//! Bounds that exclude each other: which one to move.

use blast_types::{PackageName, Requirement, VersionOrUrl, VersionSpecifiers, pep508};
use pubgrub::VersionSet as _;
use uv_pep440::Operator;

use super::remedy::{Remedy, RemedyKind};
use super::trial::Trial;
use super::{Fact, Versions};
use crate::solver::Solver;

/// More would be a list to search, not a hint.
const MAX_HINTS: usize = 3;

/// A requirement of the facts with a range, and whose it is.
struct Need<'a> {
    /// `None`: the user's.
    of: Option<&'a Versions>,
    name: PackageName,
    specifiers: VersionSpecifiers,
    requirement: Requirement,
}

impl Need<'_> {
    fn text(&self) -> String {
        super::words::requirement(&self.requirement)
    }

    fn pins(&self) -> bool {
        self.has(&[Operator::Equal, Operator::ExactEqual])
    }

    fn caps(&self) -> bool {
        self.pins()
            || self.has(&[
                Operator::LessThan,
                Operator::LessThanEqual,
                Operator::TildeEqual,
                Operator::EqualStar,
            ])
    }

    fn has(&self, operators: &[Operator]) -> bool {
        let mut said = self.specifiers.iter();
        said.any(|specifier| operators.contains(specifier.operator()))
    }
}

/// What to do about two requirements that existing versions meet one by one, but not together.
pub(super) fn remedies(solver: &Solver<'_>, facts: &[Fact]) -> Vec<Remedy> {
    let needs = needs(facts);
    let mut remedies: Vec<Remedy> = Vec::new();
    for (position, first) in needs.iter().enumerate() {
        for second in &needs[position + 1..] {
            if clash(solver, first, second)
                && let remedy = remedy(first, second)
                && !remedies.contains(&remedy)
            {
                remedies.push(remedy);
            }
        }
    }
    remedies.truncate(MAX_HINTS);
    remedies
}

fn needs(facts: &[Fact]) -> Vec<Need<'_>> {
    let said = facts.iter().flat_map(|fact| {
        let (of, texts): (_, &[String]) = match fact {
            Fact::Asked { requirements } => (None, requirements),
            Fact::Depends {
                versions,
                requirements,
                ..
            } => (Some(versions), requirements),
            _ => (None, &[]),
        };
        texts.iter().map(move |text| (of, text))
    });
    let parsed = said.filter_map(|(of, text)| {
        let requirement = pep508::requirement(text).ok()?;
        let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else {
            return None;
        };
        Some(Need {
            of,
            name: requirement.name.clone(),
            specifiers: specifiers.clone(),
            requirement,
        })
    });
    parsed.collect()
}

fn clash(solver: &Solver<'_>, first: &Need<'_>, second: &Need<'_>) -> bool {
    if first.name != second.name {
        return false;
    }
    let Some(project) = solver.known(&first.name) else {
        return false;
    };
    let ranks = [first, second].map(|need| project.ranks_of(&need.requirement));
    ranks.iter().all(|ranks| !ranks.is_empty()) && ranks[0].is_disjoint(&ranks[1])
}

fn remedy(first: &Need<'_>, second: &Need<'_>) -> Remedy {
    let package = first.name.as_ref();
    let (mine, other) = match (first.of, second.of) {
        (None, None) => {
            let text = format!(
                "`{}` and `{}` exclude each other: drop one of them",
                first.text(),
                second.text()
            );
            let either = [first, second].map(|need| Trial::Without(need.requirement.clone()));
            return Remedy::new(RemedyKind::Requirement, package, text)
                .range(second.text())
                .tried_by(either);
        }
        (Some(_), Some(_)) => return between_dependencies(first, second),
        (None, Some(_)) => (first, second),
        (Some(_), None) => (second, first),
    };
    let needed_by = other.of.map_or("", |versions| versions.words.as_str());
    let (kind, verb) = if mine.pins() {
        (RemedyKind::UpperBound, "lift the pin")
    } else if mine.caps() {
        (RemedyKind::UpperBound, "lift the upper bound")
    } else {
        (RemedyKind::LowerBound, "lower the bound")
    };
    let text = format!(
        "{verb} of your `{}`: {needed_by} asks for `{}`",
        mine.text(),
        other.text()
    );
    Remedy::new(kind, package, text)
        .range(mine.text())
        .tried_by([Trial::AnyVersion(mine.requirement.clone())])
}

fn between_dependencies(first: &Need<'_>, second: &Need<'_>) -> Remedy {
    let (capped, other) = if first.pins() || first.caps() && !second.caps() {
        (first, second)
    } else {
        (second, first)
    };
    let words = |need: &Need<'_>| need.of.map_or(String::new(), |of| of.words.clone());
    let text = format!(
        "{} keeps `{}` to `{}`, while {} asks for `{}`: ask for other versions of one of them, or \
         lift the bound by `--override FILE` with `{}` in it, at your own risk",
        words(capped),
        capped.name,
        capped.specifiers.to_string().replace(", ", ","),
        words(other),
        other.text(),
        other.text()
    );
    Remedy::new(RemedyKind::UpperBound, capped.name.as_ref(), text)
        .range(capped.text())
        .option("--override FILE")
        .tried_by([Trial::Override(other.requirement.clone())])
}
