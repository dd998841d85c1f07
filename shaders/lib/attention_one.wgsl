// A row in one invocation: its scores are whole.
fn join(s: Scores, lane: u32) -> Scores {
    return s;
}
