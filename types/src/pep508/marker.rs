//! The grammar of markers: comparisons joined by `and` and `or`.

use uv_pep508::MarkerTree;

use super::comparison::{Comparison, Operand, Sign, Variable};
use super::scanner::Scanner;
use super::size::{has_more_nodes, ways};
use crate::versions::{SyntaxError, quoted};

/// How deep brackets may be nested. Real markers have two or three.
const DEPTH: usize = 32;
/// How many comparisons one marker may have. Joining them takes a stack of this depth at worst.
const COMPARISONS: usize = 400;
/// Bytes of a marker whose normal form is certainly small enough.
const SHORT: usize = 200;
/// Nodes of a marker's decision diagram. To join two takes at most the product.
const NODES: usize = 1000;
/// Ways in which a marker may hold. To find its normal form takes the square.
const WAYS: usize = 500;

/// Reads a marker such as `python_version < "3.11" and extra == "toml"`. Comparisons that mean
/// nothing (`os_name > "posix"`) are false, as in `packaging`.
///
/// # Errors
/// The text is no marker of PEP 508, or it is larger than any honest one.
pub fn marker(text: &str) -> Result<MarkerTree, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let tree = read_marker(&mut scanner)?;
    if scanner.is_at_end() {
        Ok(tree)
    } else {
        let rest = quoted(scanner.rest());
        Err(SyntaxError::new(format!("{rest} belongs to no marker")))
    }
}

/// Reads the marker of a requirement, from behind the semicolon on.
pub(super) fn read_marker(scanner: &mut Scanner<'_>) -> Result<MarkerTree, SyntaxError> {
    let before = scanner.rest().len();
    let mut reader = Reader {
        scanner,
        comparisons: 0,
    };
    let tree = reader.alternatives(0)?;
    let length = before - scanner.rest().len();
    // It is kept in the normal form that the library writes, which must be read again; that can be
    // larger than what was written, but not where that is short.
    let is_large =
        || ways(tree) > WAYS || tree.to_dnf().iter().map(Vec::len).sum::<usize>() > COMPARISONS;
    if length > SHORT && is_large() {
        return Err(too_large());
    }
    Ok(tree)
}

fn too_large() -> SyntaxError {
    SyntaxError::new("the marker has too many comparisons")
}

/// What two trees were joined to, if that is still small enough to go on.
fn bounded(tree: MarkerTree) -> Result<MarkerTree, SyntaxError> {
    if has_more_nodes(tree, NODES) {
        return Err(too_large());
    }
    Ok(tree)
}

struct Reader<'r, 'a> {
    scanner: &'r mut Scanner<'a>,
    comparisons: usize,
}

impl Reader<'_, '_> {
    fn alternatives(&mut self, depth: usize) -> Result<MarkerTree, SyntaxError> {
        let mut tree = self.conjunction(depth)?;
        while self.scanner.eat_word("or") {
            tree = bounded(tree.or(self.conjunction(depth)?))?;
        }
        Ok(tree)
    }

    fn conjunction(&mut self, depth: usize) -> Result<MarkerTree, SyntaxError> {
        let mut tree = self.part(depth)?;
        while self.scanner.eat_word("and") {
            tree = bounded(tree.and(self.part(depth)?))?;
        }
        Ok(tree)
    }

    /// A comparison, or a marker in brackets, with the spaces around it.
    fn part(&mut self, depth: usize) -> Result<MarkerTree, SyntaxError> {
        self.scanner.spaces();
        let tree = if self.scanner.eat("(") {
            if depth == DEPTH {
                return Err(SyntaxError::new("the brackets are nested too deeply"));
            }
            let inner = self.alternatives(depth + 1)?;
            if !self.scanner.eat(")") {
                let rest = quoted(self.scanner.rest());
                return Err(SyntaxError::new(format!(
                    "a `)` is missing in the marker before {rest}"
                )));
            }
            inner
        } else {
            self.comparison()?
        };
        self.scanner.spaces();
        Ok(tree)
    }

    fn comparison(&mut self) -> Result<MarkerTree, SyntaxError> {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS {
            return Err(too_large());
        }
        let left = self.operand()?;
        self.scanner.spaces();
        let sign = self.sign()?;
        self.scanner.spaces();
        let right = self.operand()?;
        Ok(Comparison { left, sign, right }.tree())
    }

    fn operand(&mut self) -> Result<Operand, SyntaxError> {
        for variable in Variable::ALL {
            for name in variable.names() {
                if self.scanner.eat_word(name) {
                    return Ok(Operand::Variable(variable));
                }
            }
        }
        for quote in ["'", "\""] {
            if self.scanner.eat(quote) {
                let text = self.scanner.take_while(|c| !quote.contains(c));
                if !self.scanner.eat(quote) {
                    return Err(SyntaxError::new("a text in the marker does not end"));
                }
                if text.contains(['\n', '\r', '\0']) {
                    return Err(SyntaxError::new("a text in the marker has several lines"));
                }
                return Ok(Operand::Text(text.to_owned()));
            }
        }
        let rest = quoted(self.scanner.rest());
        Err(SyntaxError::new(format!(
            "{rest} begins with neither a marker variable nor a quoted text"
        )))
    }

    fn sign(&mut self) -> Result<Sign, SyntaxError> {
        if self.scanner.eat_word("in") {
            return Ok(Sign::In);
        }
        if self.scanner.eat_word("not") && self.scanner.spaces() && self.scanner.eat_word("in") {
            return Ok(Sign::NotIn);
        }
        for (text, sign) in Sign::COMPARING {
            if self.scanner.eat(text) {
                return Ok(sign);
            }
        }
        let rest = quoted(self.scanner.rest());
        Err(SyntaxError::new(format!(
            "{rest} begins with no operator of a marker"
        )))
    }
}
