//! The encoder as Python holds it: loads, embeds without the interpreter's lock, and ends a call when
//! the user interrupts it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use everylayer::cli::tokenize::json_row;
use everylayer::cli::{explore, info};
use everylayer::{Capture, Encoder, Error, ErrorKind, LoadOptions, Result};
use pyo3::prelude::*;

use crate::errors::{exception, made};
use crate::reply::Reply;
use crate::texts::Texts;

/// How often a call looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// The process whose threads the engine runs on: a fork has none of them.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// A model on its device.
#[pyclass(frozen, module = "everylayer._native")]
pub struct Engine {
    encoder: Encoder,
}

/// The words of a capture.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Words {
    site: String,
    final_norm: Option<bool>,
    layers: String,
    combine: String,
    pool: String,
    normalize: Option<bool>,
    dims: Option<usize>,
    precision: String,
    max_tokens: Option<usize>,
    overflow: String,
    prompt: Option<String>,
    route: String,
}

impl Words {
    fn capture(self) -> Result<Capture> {
        let mut capture = Capture::default()
            .site(self.site.as_str())
            .layers(self.layers)
            .combine(self.combine)
            .pool(self.pool)
            .precision(self.precision)
            .overflow(self.overflow)
            .route(self.route);
        capture.final_norm = self.final_norm;
        capture.normalize = self.normalize;
        capture.dims = self.dims;
        capture.max_tokens = self.max_tokens;
        capture.prompt = self.prompt;
        capture.check().map(|()| capture)
    }
}

/// Refuses a process that was forked from one that has used the engine.
fn check_process(py: Python<'_>) -> PyResult<()> {
    let (here, first) = (std::process::id(), *PROCESS.get_or_init(std::process::id));
    if here == first {
        return Ok(());
    }
    let said = format!(
        "this process ({here}) was forked from one that had loaded a model ({first}), whose threads \
         and device it does not have: start processes with multiprocessing.get_context(\"spawn\"), or \
         load models in the children alone"
    );
    Err(made(py, "forked", &said))
}

#[pymethods]
impl Engine {
    #[new]
    fn new(
        py: Python<'_>,
        model: &str,
        device: &str,
        dtype: &str,
        batch_tokens: Option<usize>,
        verify: &str,
    ) -> PyResult<Self> {
        check_process(py)?;
        let options = LoadOptions::default().device(device).dtype(dtype).verify(verify);
        let options = match batch_tokens {
            Some(tokens) => options.batch_tokens(tokens),
            None => options,
        };
        let encoder = py.detach(|| Encoder::open_blocking(model, &options));
        Ok(Self { encoder: encoder.map_err(|error| exception(py, &error))? })
    }

    /// Embeds `texts`; `report` is called with the number of texts done, now and then.
    #[pyo3(signature = (texts, words, report=None))]
    fn embed(
        &self,
        py: Python<'_>,
        texts: Texts,
        words: Words,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Reply> {
        check_process(py)?;
        let mut watch = Watch { report, looked: Instant::now(), raised: None };
        let all = texts.len();
        let done = py.detach(|| {
            let capture = words.capture()?;
            let mut look = |done| watch.look(done, done == all);
            self.encoder.embed_watched_blocking(texts.all(), &capture, &mut look)
        });
        match (watch.raised, done) {
            (Some(raised), _) => Err(raised),
            (None, done) => Reply::new(py, done.map_err(|error| exception(py, &error))?),
        }
    }

    /// What `everylayer tokenize --format jsonl` prints of each of `texts`.
    fn tokenize(&self, py: Python<'_>, texts: Texts, words: Words) -> PyResult<Vec<String>> {
        check_process(py)?;
        let rows: Result<Vec<String>> = py.detach(|| {
            let (capture, texts) = (words.capture()?, texts.all());
            let tokens = self.encoder.tokenize(&texts, &capture)?;
            let rows = tokens.iter().zip(&texts).enumerate();
            rows.map(|(i, (tokens, text))| json_row(i, tokens, text)).collect()
        });
        rows.map_err(|error| exception(py, &error))
    }

    /// What `everylayer info --json` prints of the model.
    fn info(&self, py: Python<'_>) -> PyResult<String> {
        check_process(py)?;
        let report = py.detach(|| info::json(&self.encoder));
        report.map_err(|error| exception(py, &error))
    }

    /// The page that `everylayer explore` writes of one text, or of two.
    fn explore(&self, py: Python<'_>, texts: Vec<String>) -> PyResult<String> {
        check_process(py)?;
        let page = py.detach(|| explore::html(&self.encoder, &texts, &Capture::default(), true));
        page.map_err(|error| exception(py, &error))
    }

    /// The model, as a person would name it.
    #[getter]
    fn name(&self) -> &str {
        self.encoder.name()
    }

    /// Where it runs.
    #[getter]
    fn device(&self) -> String {
        self.encoder.device()
    }

    /// What a person should know of the choice of the device, a sentence each.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.encoder.notes().to_vec()
    }

    /// Storage type of the weights.
    #[getter]
    fn dtype(&self) -> String {
        self.encoder.dtype().to_string()
    }

    /// Blocks L.
    #[getter]
    fn depth(&self) -> usize {
        self.encoder.spec().depth()
    }

    /// Width of a state.
    #[getter]
    fn width(&self) -> usize {
        self.encoder.spec().width
    }

    /// Width of a vector as the checkpoint makes it.
    #[getter]
    fn dimension(&self, py: Python<'_>) -> PyResult<usize> {
        let header = self.encoder.header(&Capture::default());
        header.map(|header| header.width).map_err(|error| exception(py, &error))
    }

    /// Tokens of a text at most, special ones included.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.encoder.max_tokens()
    }

    /// Tokens of a batch at most.
    #[getter]
    fn batch_tokens(&self) -> usize {
        self.encoder.batch_tokens()
    }

    /// Prompts by name.
    #[getter]
    fn prompts(&self) -> BTreeMap<String, String> {
        self.encoder.pipeline().prompts.clone()
    }

    /// What is put before every text where nothing else is asked for.
    #[getter]
    fn default_prompt(&self) -> Option<String> {
        self.encoder.pipeline().default_prompt.clone()
    }

    /// How vectors are to be compared, where the checkpoint says so.
    #[getter]
    fn similarity(&self) -> Option<String> {
        self.encoder.pipeline().similarity.clone()
    }

    /// Dimensions that the checkpoint keeps, where it cuts its vectors.
    #[getter]
    fn truncate_dim(&self) -> Option<usize> {
        self.encoder.pipeline().truncate_dim
    }

    /// Whether the checkpoint runs modules on tokens before it pools them, or mixes its layers.
    #[getter]
    fn has_token_modules(&self) -> bool {
        let pipeline = self.encoder.pipeline();
        pipeline.mix.is_some() || !pipeline.token_modules.is_empty()
    }
}

/// Looks whether the user interrupts a call, and tells how far it is.
struct Watch {
    report: Option<Py<PyAny>>,
    looked: Instant,
    raised: Option<PyErr>,
}

impl Watch {
    /// Called when `done` texts are done, `last` of all.
    fn look(&mut self, done: usize, last: bool) -> Result<()> {
        if !last && self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let asked = Python::try_attach(|py| {
            py.check_signals()?;
            match &self.report {
                Some(report) => report.call1(py, (done,)).map(drop),
                None => Ok(()),
            }
        });
        match asked {
            Some(Err(raised)) => {
                self.raised = Some(raised);
                Err(Error::new(ErrorKind::Usage, "the call was interrupted"))
            }
            // An interpreter that is ending waits for nobody.
            None => Err(Error::new(ErrorKind::Usage, "the interpreter is ending")),
            Some(Ok(())) => Ok(()),
        }
    }
}
