//! The report of `info` for people: a block each for adapters, model and memory.

use std::fmt::{self, Display};

use super::{Memory, Model, Report};

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "everylayer {}\n\nadapters", self.version)?;
        if self.adapters.is_empty() {
            writeln!(f, "  none: `--device auto` uses the CPU")?;
        }
        self.adapters.iter().try_for_each(|adapter| adapter.fmt(f))?;
        write!(f, "\n{}\n{}", self.model, self.memory)
    }
}

impl Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model {}", self.name)?;
        let mut row = |name: &str, value: &dyn Display| writeln!(f, "  {name:<12}{value}");
        let layers = format_args!("{} (states 0..={})", self.layers, self.states - 1).to_string();
        let heads = format!("{} of {}", self.heads, self.head_dim);
        let pooler = if self.pooler { "yes" } else { "no" };
        row("family", &self.family)?;
        row("layers", &layers)?;
        row("width", &self.width)?;
        row("heads", &heads)?;
        row("inner", &self.inner)?;
        row("vocab", &self.vocab)?;
        row("positions", &self.positions)?;
        row("max tokens", &self.max_tokens)?;
        row("parameters", &self.parameters)?;
        row("pooler", &pooler)?;
        for (i, module) in self.pipeline.iter().enumerate() {
            row(if i == 0 { "pipeline" } else { "" }, module)?;
        }
        for (i, (name, prompt)) in self.prompts.iter().enumerate() {
            row(if i == 0 { "prompts" } else { "" }, &format!("{name}: {prompt:?}"))?;
        }
        if let Some(prompt) = &self.default_prompt {
            row("by default", &format!("{prompt:?}"))?;
        }
        Ok(())
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, dtype, batch_tokens, .. } = self;
        writeln!(f, "memory on {device}, {dtype}, batches of {batch_tokens} tokens")?;
        writeln!(f, "  {:<50}{:>12}", "weights", bytes(self.weight_bytes))?;
        writeln!(f, "  {:<50}{:>12}{:>13}", "a call", "activations", "to the host")?;
        for plan in &self.plans {
            let texts = if plan.texts == 1 { "text" } else { "texts" };
            let what = format!(
                "--layers {} --pool {}, {} {texts} of {} tokens",
                plan.layers,
                plan.pool,
                plan.texts,
                plan.tokens / plan.texts.max(1)
            );
            let (held, down) = (bytes(plan.activation_bytes), bytes(plan.bytes_to_host));
            writeln!(f, "  {what:<50}{held:>12}{down:>13}")?;
        }
        Ok(())
    }
}

/// `n` in a unit that keeps it short.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (n, want) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (90_000_000, "85.8 MiB")]
        {
            assert_eq!(bytes(n), want);
        }
    }
}
