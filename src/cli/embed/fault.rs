//! Faults that tests ask for.

/// Where a test asked for it, panics at the place `place` when it has come to row `row`.
#[cfg(test)]
pub fn at(place: &str, row: usize) {
    let asked = *asked::FAULT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, first)) = asked.filter(|(wanted, first)| *wanted == place && row >= *first) {
        panic!("a fault after row {first}");
    }
}

/// Nothing, outside of tests.
#[cfg(not(test))]
pub fn at(_place: &str, _row: usize) {}

#[cfg(test)]
pub mod asked {
    use std::sync::Mutex;

    /// The place and the first row.
    pub static FAULT: Mutex<Option<(&str, usize)>> = Mutex::new(None);
}
