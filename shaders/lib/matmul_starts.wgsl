// Where the rows of A start that an invocation reads, STARTS of them, APART rows from each other: rows
// past the end repeat the last one.
struct Starts {
//: for i in 0..STARTS
    r${i}: u32,
//: end
}

fn start_rows(row: u32) -> Starts {
    return Starts(
//: for i in 0..STARTS
        min(row + ${APART * i}u, params.m - 1u) * params.k4,
//: end
    );
}
