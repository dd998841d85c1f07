//! BERT's encoder in burn's own modules, with the bundled model's weights in f32. Two forms of it: burn's
//! `TransformerEncoder` as it is, and the same modules around burn's fused attention.

use std::error::Error;
use std::path::Path;

use burn::module::Param;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput, TransformerEncoderLayer,
};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::module::{attention, embedding};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

const WIDTH: usize = 384;
const HEADS: usize = 12;
const LAYERS: usize = 6;
const INNER: usize = 1536;
const EPSILON: f64 = 1e-12;

#[derive(Clone, Copy)]
pub enum Form {
    /// burn's module as it is: products, mask, softmax.
    Encoder,
    /// The same modules around burn's fused attention.
    Attention,
}

pub struct Batch {
    pub lengths: Vec<i32>,
    pub ids: Vec<i32>, // (texts, tokens)
    pub tokens: usize,
}

pub struct Model {
    words: Tensor<2>,
    /// Position i with token type 0, which all tokens have.
    positions: Tensor<2>,
    norm: LayerNorm,
    encoder: TransformerEncoder,
}

impl Model {
    pub fn load(folder: &Path, device: &Device) -> Result<Self, Box<dyn Error>> {
        let bytes = std::fs::read(folder.join("model.safetensors"))?;
        let file = File { tensors: SafeTensors::deserialize(&bytes)?, device };
        let types = file.matrix("embeddings.token_type_embeddings.weight")?;
        let mut encoder = TransformerEncoderConfig::new(WIDTH, INNER, HEADS, LAYERS)
            .with_dropout(0.0)
            .with_layer_norm_eps(EPSILON)
            .init(device);
        for (i, layer) in encoder.layers.iter_mut().enumerate() {
            let at = |name: &str| format!("encoder.layer.{i}.{name}");
            layer.mha.query = file.linear(&at("attention.self.query"))?;
            layer.mha.key = file.linear(&at("attention.self.key"))?;
            layer.mha.value = file.linear(&at("attention.self.value"))?;
            layer.mha.output = file.linear(&at("attention.output.dense"))?;
            layer.norm_1 = file.norm(&at("attention.output.LayerNorm"))?;
            layer.pwff.linear_inner = file.linear(&at("intermediate.dense"))?;
            layer.pwff.linear_outer = file.linear(&at("output.dense"))?;
            layer.norm_2 = file.norm(&at("output.LayerNorm"))?;
        }
        Ok(Self {
            words: file.matrix("embeddings.word_embeddings.weight")?,
            positions: file.matrix("embeddings.position_embeddings.weight")?
                + types.narrow(0, 0, 1),
            norm: file.norm("embeddings.LayerNorm")?,
            encoder,
        })
    }

    /// The mean of the last state over the tokens of each text: (texts, width).
    pub fn vectors(
        &self,
        batch: &Batch,
        form: Form,
        device: &Device,
    ) -> Result<Vec<f32>, Box<dyn Error>> {
        let (texts, tokens) = (batch.lengths.len(), batch.tokens);
        let ids = Tensor::<2, Int>::from_data(
            TensorData::new(batch.ids.clone(), [texts, tokens]),
            device,
        );
        let state = embedding(self.words.clone(), ids)
            + self.positions.clone().narrow(0, 0, tokens).unsqueeze();
        let state = self.norm.forward(state);

        let lengths =
            Tensor::<1, Int>::from_data(TensorData::new(batch.lengths.clone(), [texts]), device)
                .reshape([texts, 1]);
        let padding = Tensor::<1, Int>::arange(0..tokens as i64, device)
            .reshape([1, tokens])
            .expand([texts, tokens])
            .greater_equal(lengths.clone().expand([texts, tokens]));
        // A batch without padding needs no mask.
        let mask =
            batch.lengths.iter().any(|length| *length as usize != tokens).then(|| padding.clone());
        let state = match form {
            Form::Encoder => {
                let mut input = TransformerEncoderInput::new(state);
                if let Some(mask) = mask {
                    input = input.mask_pad(mask);
                }
                self.encoder.forward(input)
            }
            Form::Attention => {
                self.encoder.layers.iter().fold(state, |state, layer| block(layer, state, &mask))
            }
        };

        let sums = state
            .mask_fill(padding.reshape([texts, tokens, 1]).expand([texts, tokens, WIDTH]), 0.0)
            .sum_dim(1);
        let means = sums.reshape([texts, WIDTH]) / lengths.float();
        Ok(means.into_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?)
    }
}

fn block(
    layer: &TransformerEncoderLayer,
    state: Tensor<3>,
    mask: &Option<Tensor<2, Bool>>,
) -> Tensor<3> {
    let [texts, tokens, _] = state.dims();
    let heads = |linear: &Linear| {
        linear.forward(state.clone()).reshape([texts, tokens, HEADS, WIDTH / HEADS]).swap_dims(1, 2)
    };
    let mask = mask
        .clone()
        .map(|mask| mask.reshape([texts, 1, 1, tokens]).expand([texts, HEADS, tokens, tokens]));
    let mha = &layer.mha;
    let context = attention(
        heads(&mha.query),
        heads(&mha.key),
        heads(&mha.value),
        mask,
        None,
        Default::default(),
    );
    let context = context.swap_dims(1, 2).reshape([texts, tokens, WIDTH]);
    let state = layer.norm_1.forward(mha.output.forward(context) + state);
    layer.norm_2.forward(layer.pwff.forward(state.clone()) + state)
}

/// The checkpoint, whose numbers become f32.
struct File<'a> {
    tensors: SafeTensors<'a>,
    device: &'a Device,
}

impl File<'_> {
    fn data(&self, name: &str) -> Result<TensorData, Box<dyn Error>> {
        let tensor = self.tensors.tensor(name)?;
        let numbers: Vec<f32> = match tensor.dtype() {
            Dtype::F16 => tensor
                .data()
                .chunks_exact(2)
                .map(|two| half::f16::from_le_bytes([two[0], two[1]]).to_f32())
                .collect(),
            Dtype::F32 => tensor
                .data()
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect(),
            other => return Err(format!("{name} is {other:?}").into()),
        };
        Ok(TensorData::new(numbers, tensor.shape().to_vec()))
    }

    fn matrix(&self, name: &str) -> Result<Tensor<2>, Box<dyn Error>> {
        Ok(Tensor::from_data(self.data(name)?, self.device))
    }

    fn vector(&self, name: &str) -> Result<Tensor<1>, Box<dyn Error>> {
        Ok(Tensor::from_data(self.data(name)?, self.device))
    }

    /// The checkpoint has (out, in), burn wants (in, out): turned here, once, so that its rows lie in order.
    fn linear(&self, name: &str) -> Result<Linear, Box<dyn Error>> {
        let data = self.data(&format!("{name}.weight"))?;
        let [rows, columns] = data.shape().dims();
        let numbers = data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?;
        let turned: Vec<f32> = (0..columns)
            .flat_map(|column| (0..rows).map(move |row| (row, column)))
            .map(|(row, column)| numbers[row * columns + column])
            .collect();
        let weight = Tensor::from_data(TensorData::new(turned, [columns, rows]), self.device);
        let bias = self.vector(&format!("{name}.bias"))?;
        Ok(Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) })
    }

    fn norm(&self, name: &str) -> Result<LayerNorm, Box<dyn Error>> {
        let mut norm = LayerNormConfig::new(WIDTH).with_epsilon(EPSILON).init(self.device);
        norm.gamma = Param::from_tensor(self.vector(&format!("{name}.weight"))?);
        norm.beta = Some(Param::from_tensor(self.vector(&format!("{name}.bias"))?));
        Ok(norm)
    }
}
