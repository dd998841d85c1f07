// The word table lies on the device, in the storage type of the weights.
alias WordRow = Packed4;

fn unpack_word(p: WordRow) -> vec4<f32> {
    return unpack4(p);
}
