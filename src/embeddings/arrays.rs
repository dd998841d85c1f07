//! Results as arrays of the crate `ndarray`.

use ndarray::{Array3, ArrayView3, s};

use super::{Embeddings, TextEmbedding, Values};

impl TextEmbedding {
    /// The numbers of this text, (layer axis, rows, width), without a copy; rows are `width` wide.
    /// `None` where the numbers are not f32.
    pub fn view(&self, width: usize) -> Option<ArrayView3<'_, f32>> {
        let Values::F32(values) = &self.values else { return None };
        let row = self.rows.checked_mul(width)?;
        let layers = values.len().checked_div(row).unwrap_or(0);
        ArrayView3::from_shape((layers, self.rows, width), values).ok()
    }
}

impl Embeddings {
    /// The numbers of the text `text`, (layer axis, rows, width), without a copy. `None` where there
    /// is no such text, or where the numbers are not f32.
    ///
    /// ```no_run
    /// use everylayer::{Capture, Encoder, LoadOptions};
    ///
    /// let encoder = Encoder::open_blocking("bundled", &LoadOptions::default())?;
    /// let capture = Capture::default().layers("all").pool("tokens");
    /// let all = encoder.embed_blocking(["Hello, world!"], &capture)?;
    /// if let Some(states) = all.view(0) {
    ///     assert_eq!(states.shape(), [7, 6, 384]);
    /// }
    /// # Ok::<(), everylayer::Error>(())
    /// ```
    pub fn view(&self, text: usize) -> Option<ArrayView3<'_, f32>> {
        self.texts.get(text)?.view(self.width)
    }

    /// A copy of all numbers, (rows of all texts, layer axis, width), as the array files have them.
    /// `None` where the numbers are not f32.
    pub fn to_array(&self) -> Option<Array3<f32>> {
        let rows = self.texts.iter().map(|text| text.rows).sum();
        let mut out = Array3::zeros((rows, self.layer_axis, self.width));
        let mut at = 0;
        for text in self.texts.iter().filter(|text| text.rows > 0) {
            let view = text.view(self.width)?;
            let mut place = out.slice_mut(s![at..at + text.rows, .., ..]);
            place.assign(&view.permuted_axes([1, 0, 2]));
            at += text.rows;
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;
    use crate::capture::{Combine, Pool, Precision};

    #[test]
    fn axes_are_layers_rows_width() {
        let header = Header::new("m", vec![0, 1], Combine::Stack, Pool::Tokens, 3);
        let text = |index, rows: usize, from: usize| {
            let numbers = (from..from + 2 * rows * 3).map(|i| i as f32).collect();
            TextEmbedding::new(index, rows, Values::F32(numbers))
        };
        let texts = vec![text(0, 2, 0), text(1, 0, 0), text(2, 1, 100)];
        let all = Embeddings::new(header, texts);
        let first = all.view(0).unwrap();
        assert_eq!(first.shape(), [2, 2, 3]);
        assert_eq!(first[[1, 0, 2]], 8.0);
        assert_eq!(Some(&first.slice(s![1, 1, ..]).to_vec()[..]), all.vector(0, 1, 1));
        assert!(all.view(3).is_none());

        let whole = all.to_array().unwrap();
        assert_eq!(whole.shape(), [3, 2, 3]);
        for (row, text, of) in [(0, 0, 0), (1, 0, 1), (2, 2, 0)] {
            for layer in 0..2 {
                let got = whole.slice(s![row, layer, ..]).to_vec();
                assert_eq!(Some(&got[..]), all.vector(text, layer, of));
            }
        }
        let bits = all.quantize(Precision::Ubinary).unwrap();
        assert!(bits.view(0).is_none() && bits.to_array().is_none());
    }
}
