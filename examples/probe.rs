//! Which layer knows it? Two small labelled sets, and how well each layer tells their classes
//! apart: the nearest class centre, a pair of texts in turn left out, the first of both classes, the
//! second, ... Both of a pair: where they are about the same matter, the one that stayed would draw
//! the other to the wrong centre. 50% is chance.
//!
//!     cargo run --release --example probe

use everylayer::{Capture, Encoder, Layers, LoadOptions, Pool, Result};

/// A set with two classes of as many texts.
struct Set {
    name: &'static str,
    classes: [[&'static str; 8]; 2],
}

/// What the texts are about.
const TOPIC: Set = Set {
    name: "topic",
    classes: [
        [
            "The goalkeeper saved a penalty in the final minute.",
            "She trains for the marathon every morning.",
            "Their coach was sacked after five defeats.",
            "He won the match in straight sets.",
            "The relay team broke the world record.",
            "A late try sealed the victory for the home side.",
            "The cyclist fell on the last climb.",
            "Both boxers were tired by the tenth round.",
        ],
        [
            "Simmer the onions until they are soft.",
            "The bread needs two hours to rise.",
            "She adds a pinch of saffron to the rice.",
            "Whisk the eggs with a little milk.",
            "He burnt the garlic and had to begin again.",
            "The soup tastes better on the second day.",
            "Roast the carrots with honey and thyme.",
            "Leave the dough in the fridge overnight.",
        ],
    ],
};

/// How the texts are said: the same matters as questions and as statements.
const MOOD: Set = Set {
    name: "mood",
    classes: [
        [
            "Did the train arrive on time",
            "Is the shop open on Sunday",
            "Has she finished the report",
            "Can the dog swim across the river",
            "Will it rain in the mountains tomorrow",
            "Are the children at school today",
            "Does he work in the new office",
            "Was the film longer than the book",
        ],
        [
            "The train did arrive on time",
            "The shop is open on Sunday",
            "She has finished the report",
            "The dog can swim across the river",
            "It will rain in the mountains tomorrow",
            "The children are at school today",
            "He does work in the new office",
            "The film was longer than the book",
        ],
    ],
};

fn main() -> Result<()> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "bundled".to_owned());
    let encoder = Encoder::open_blocking(&model, &LoadOptions::default())?;
    let capture = Capture::default().layers(Layers::All).pool(Pool::Mean).normalize(true);

    let sets = [TOPIC, MOOD];
    let mut columns = Vec::new();
    for set in &sets {
        let all = encoder.embed_blocking(set.classes.as_flattened().iter().copied(), &capture)?;
        let accuracy = |layer| {
            let rows = (0..all.texts.len()).filter_map(|text| all.vector(text, layer, 0));
            leave_pair_out(&rows.collect::<Vec<&[f32]>>())
        };
        columns.push((0..all.layer_axis).map(accuracy).collect::<Vec<f32>>());
    }

    println!("layer  {}", sets.map(|set| format!("{:>6}", set.name)).join("  "));
    for layer in 0..columns[0].len() {
        let cells = columns.iter().map(|c| format!("{:>5.0}%", 100.0 * c[layer]));
        println!("{layer:>5}  {}", cells.collect::<Vec<_>>().join("  "));
    }
    let best = |column: &Vec<f32>| {
        // The first of equals.
        let better = |best, layer| if column[layer] > column[best] { layer } else { best };
        format!("{:>6}", (0..column.len()).fold(0, better))
    };
    println!(" best  {}", columns.iter().map(best).collect::<Vec<_>>().join("  "));
    Ok(())
}

/// The share of rows that are nearer to the centre of their own class than to the other's. `rows` are
/// those of class 0, then as many of class 1; neither a row nor its pair is part of a centre that it
/// is held against.
fn leave_pair_out(rows: &[&[f32]]) -> f32 {
    let half = rows.len() / 2;
    let right = (0..rows.len()).filter(|&row| {
        let distance = |class: usize| -> f32 {
            let members = rows[class * half..][..half].iter().enumerate();
            let kept: Vec<&[f32]> =
                members.filter(|(i, _)| *i != row % half).map(|(_, kept)| *kept).collect();
            let centre = |at: usize| kept.iter().map(|r| r[at]).sum::<f32>() / kept.len() as f32;
            rows[row].iter().enumerate().map(|(at, x)| (x - centre(at)).powi(2)).sum()
        };
        let own = row / half;
        distance(own) < distance(1 - own)
    });
    right.count() as f32 / rows.len() as f32
}
