// The word table was too large for a binding: its rows were gathered on the host, as f32.
alias WordRow = vec4<f32>;

fn unpack_word(p: WordRow) -> vec4<f32> {
    return p;
}
