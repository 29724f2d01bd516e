//! Aligned columns, in which a Chinese character counts as the two cells that it takes.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Rows of cells, shown in columns as wide as their widest cell, two spaces apart.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Align>,
    indent: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows, one column for each of `columns`.
    pub fn new(columns: impl IntoIterator<Item = Align>) -> Self {
        Self { columns: columns.into_iter().collect(), indent: 0, rows: Vec::new() }
    }

    /// Begins each row with this many spaces.
    #[must_use]
    pub fn indented(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Adds a row. Cells beyond the last column stand left.
    pub fn row<I: IntoIterator<Item: Into<String>>>(&mut self, cells: I) -> &mut Self {
        self.rows.push(cells.into_iter().map(|cell| crate::printable(&cell.into()).into_owned()).collect());
        self
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = vec![0; self.rows.iter().map(Vec::len).max().unwrap_or(0)];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.width());
                match self.columns.get(column) {
                    Some(Align::Right) => line.extend([padding.as_str(), cell, "  "]),
                    Some(Align::Left) | None => line.extend([cell, padding.as_str(), "  "]),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_wide_characters() {
        let mut table = Table::new([Align::Left, Align::Right, Align::Left]).indented(2);
        table.row(["蓝鲸 PaaS", "1.5 KiB", "a"]).row(["registry", "12 B", ""]).row(["x", "3 B", "tail"]);
        assert_eq!(
            table.to_string(),
            "  蓝鲸 PaaS  1.5 KiB  a\n  registry      12 B\n  x              3 B  tail\n"
        );
        assert!(Table::new([]).is_empty());
    }
}
