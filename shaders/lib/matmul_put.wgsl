// Stores a block of C: rows from `row`, vectors `column4`, `column4` + ACROSS, ...
fn put(s: ptr<function, Sums>, slice: u32, row: u32, column4: u32) {
//: for i in 0..TALL
//:   for j in 0..WIDE
    store(slice, row + ${i}u, column4 + ${j}u * ACROSS, (*s).c${i}_${j});
//:   end
//: end
}
