//! The readable report.

use crate::measure::Row;

const HEADS: [&str; 8] =
    ["variant", "VGPRs", "spilled", "scratch", "LDS", "waves", "inverse tp.", "ALU eff."];

/// An aligned table, one line a row, the last without a line break.
pub fn table(rows: &[Row]) -> String {
    let mut cells: Vec<[String; 8]> = vec![HEADS.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.variant.clone(),
            row.vgprs.to_string(),
            row.spilled_vgprs.to_string(),
            row.scratch_bytes.to_string(),
            row.lds_bytes.to_string(),
            row.waves_per_simd.to_string(),
            row.inverse_throughput.to_string(),
            row.alu_efficiency.map_or("-".to_owned(), |e| format!("{e:.3}")),
        ]
    }));
    let width = |column: usize| cells.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let line = |line: &[String; 8]| {
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
        let text = table(&[row("norm", None), row("matmul+gelu+residual", Some(0.97))]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[1].ends_with(" -") && lines[2].ends_with(" 0.970"), "{text}");
    }
}
