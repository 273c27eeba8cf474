//! Columns aligned by spaces.

use super::style;

/// A heading and rows of as many cells; the last column is not padded.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            heading: heading.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines; without rows, nothing.
    pub(crate) fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let widths = self.widths();
        let mut text = style::strong(line(&self.heading, &widths).trim_end());
        text.push('\n');
        for row in &self.rows {
            text.push_str(line(row, &widths).trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heading.iter().map(|cell| width(cell)).collect();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate().take(widths.len()) {
                widths[column] = widths[column].max(width(cell));
            }
        }
        widths
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, &wide) in widths.iter().enumerate() {
        let cell = cells.get(column).map_or("", String::as_str);
        text.push_str(cell);
        let gap = wide.saturating_sub(width(cell)) + 2;
        text.extend(std::iter::repeat_n(' ', gap));
    }
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["Package", "Version"]);
        table.row(["größe".into(), "1.0".into()]);
        table.row(["a-long-package-name".into(), "2".into()]);
        insta::assert_snapshot!(strip_str(&table.render()).to_string(), @r"
        Package              Version
        größe                1.0
        a-long-package-name  2
        ");
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new(&["Package"]).render(), "");
    }
}
