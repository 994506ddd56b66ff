//! Columns for people.

/// Lines of cells, each column as wide as its widest cell; numbers stand to the right.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    let mut is_number = vec![!rows.is_empty(); head.len()];
    for row in rows {
        assert!(row.len() == head.len(), "every row has every column");
        for (at, cell) in row.iter().enumerate() {
            widths[at] = widths[at].max(cell.chars().count());
            is_number[at] &= cell.parse::<i64>().is_ok();
        }
    }
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|cell| cell.to_string()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            match is_number[at] {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_string).to_vec();
        let rows = [row(["orders", "12", "a"]), row(["x", "3", ""])];
        let expected = "TOPIC   PARTITIONS  NOTE\norders          12  a\nx                3\n";
        assert_eq!(render(&["TOPIC", "PARTITIONS", "NOTE"], &rows), expected);
        assert_eq!(render(&["TOPIC"], &[]), "TOPIC\n");
    }
}
