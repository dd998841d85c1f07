//! The report of `doctor` for people: a block an adapter, two tables in each.

use std::fmt::{self, Display};

use super::{Checked, Report, Summary};

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "everylayer {} on {}", self.version, self.system)?;
        match &self.model {
            Some(model) => writeln!(f, "every kernel and every state of {model} against the CPU")?,
            None => {
                writeln!(f, "every kernel against the CPU; name a model to compare its states")?
            }
        }
        self.adapters.iter().try_for_each(|checked| checked.fmt(f))
    }
}

impl Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adapter = &self.adapter;
        let driver = if adapter.driver.is_empty() { "not told" } else { &adapter.driver };
        writeln!(f, "\n{} ({}, {})", adapter.name, adapter.backend, adapter.device_type)?;
        writeln!(f, "  driver: {driver}")?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        match &self.verified {
            None => writeln!(f, "  verified at first use: nothing is kept")?,
            Some(Summary { file, right, wrong }) => {
                let wrong = match wrong[..] {
                    [] => "none wrong".to_owned(),
                    _ => format!("wrong: {}", wrong.join(", ")),
                };
                let file = file.display();
                writeln!(f, "  verified at first use: {right} right, {wrong} ({file})")?;
            }
        }

        if !self.kernels.is_empty() {
            let head = ["kernel", "variants", "cases", "max difference", "tolerance"];
            let [kernel, variants, cases, difference, tolerance] = head;
            writeln!(f, "\n  {kernel:<16}{variants:>10}{cases:>8}{difference:>16}{tolerance:>12}")?;
        }
        for row in &self.kernels {
            let (difference, tolerance) = (short(row.max_difference), short(row.tolerance));
            writeln!(
                f,
                "  {:<16}{:>10}{:>8}{difference:>16}{tolerance:>12}  {}",
                row.kernel,
                row.variants,
                row.cases,
                [word(row.ok), &listed(&row.failed)].join(" ").trim_end()
            )?;
        }
        writeln!(f, "  cooperative matrices: {}", self.coop)?;
        if !self.states.is_empty() {
            let [state, difference, cosine] = ["state", "max difference", "min cosine"];
            writeln!(f, "\n  {state:<10}{difference:>16}{cosine:>14}")?;
        }
        for row in &self.states {
            let difference = short(row.max_difference);
            let (state, cosine, ok) = (row.state, row.min_cosine, word(row.ok));
            writeln!(f, "  {state:<10}{difference:>16}{cosine:>14.9}  {ok}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "\n  error: {error}")?;
        }
        let verdict =
            if self.ok { "ok: results match the CPU executor" } else { "FAIL: results differ" };
        writeln!(f, "\n  {verdict}")
    }
}

fn short(number: f32) -> String {
    match number {
        0.0 => "0".to_owned(),
        _ if number.is_finite() => format!("{number:.1e}"),
        _ => "not finite".to_owned(),
    }
}

/// The first of `variants`, and how many more there are.
fn listed(variants: &[String]) -> String {
    let (first, more) = variants.split_at(variants.len().min(3));
    let first = first.join(", ");
    if more.is_empty() { first } else { format!("{first} and {} more", more.len()) }
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "FAIL" }
}
