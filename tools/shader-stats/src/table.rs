//! The readable report.

use crate::measure::Row;

const HEADS: [&str; 11] = [
    "variant",
    "family",
    "registers",
    "spilled",
    "fills",
    "scratch",
    "LDS",
    "SIMD",
    "waves",
    "cycles",
    "ALU eff.",
];

/// An aligned table of each family's rows, one line a row, the last without a line break: the lines of
/// a variant together.
pub fn table(families: &[(&str, &[Row])]) -> String {
    let mut cells: Vec<[String; 11]> = vec![HEADS.map(str::to_owned)];
    let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let mut rows: Vec<_> = families
        .iter()
        .flat_map(|(family, rows)| rows.iter().map(move |row| (*family, row)))
        .collect();
    // In the order of the families for each variant.
    rows.sort_by(|(_, a), (_, b)| a.variant.cmp(&b.variant));
    cells.extend(rows.into_iter().map(|(family, row)| {
        let found = &row.found;
        [
            row.variant.clone(),
            family.to_owned(),
            number(found.vgprs),
            found.spilled.to_string(),
            number(found.fills),
            found.scratch_bytes.to_string(),
            number(found.lds_bytes),
            number(found.simd),
            number(found.waves_per_simd),
            number(found.estimate()),
            row.alu_efficiency.map_or("-".to_owned(), |e| format!("{e:.3}")),
        ]
    }));
    let width = |column: usize| cells.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let line = |line: &[String; 11]| {
        let mut text = format!("{:<1$}", line[0], widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        text
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::baseline::tests::row;

    #[test]
    fn columns_are_aligned() {
        let rows = [row("norm", None), row("matmul+gelu+residual", Some(0.97))];
        let text = table(&[("navi21", &rows)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[1].ends_with(" 0.970") && lines[2].ends_with(" -"), "{text}");
    }

    #[test]
    fn the_families_of_a_variant_stand_together() {
        let rows = [row("a", None), row("b", None)];
        let text = table(&[("tgl", &rows), ("skl", &rows)]);
        let words: Vec<_> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>())
            .collect();
        assert_eq!(words, [["a", "tgl"], ["a", "skl"], ["b", "tgl"], ["b", "skl"]]);
    }
}
