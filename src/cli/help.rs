//! Examples, shown at the end of `--help`. Every line of them is meant to be run as it stands.

/// `everylayer --help`
pub const PROGRAM: &str = "\
Examples:
  everylayer embed \"Good morning\" \"Bonjour\"
      one vector a text, from the model in this binary
  everylayer embed --layers all --pool tokens Hi
      every hidden state of every token
  everylayer embed -i texts.txt -o vectors.npy
      a line a text, into a NumPy array
  everylayer info
      which GPUs there are, what the model is
  everylayer doctor
      whether they compute right
  everylayer bench
      how fast they are, and where the time goes

`everylayer COMMAND --help` says more of each.";

/// `everylayer embed --help`
pub const EMBED: &str = "\
Examples:
  everylayer embed \"Good morning\"
      the sentence vector, as the checkpoint pools it, as JSON
  everylayer embed -l -4..-1 --combine concat -p cls \"Good morning\"
      the first token of the last four layers, side by side
  everylayer embed -l all -p words \"Good morning\"
      a vector a word from each hidden state
  everylayer embed -m BAAI/bge-small-en-v1.5 -i docs.jsonl -o docs.safetensors
      a model from the hub over the field `text` of each line
  everylayer embed -i docs.csv --field body -l 0,3,-1 --normalize false -o d.npz
      three layers of the column `body`, each row as long as it comes out
  tail -f log.txt | everylayer embed -i -
      a JSON line for each text as soon as it comes
  everylayer embed -i corpus.parquet --keep id -o vectors.parquet --resume
      a corpus; the same call again goes on where it was interrupted
  everylayer embed --plan \"Good morning\"
      what the device would do

Layers: state 0 goes into block 1, state i comes out of block i, the last is the
model's result. -1 is the last from the end; ranges have both ends: 1..3, 3..,
-4..-1.
Lines of .jsonl that have a `text_pair` are read as pairs.
Exit codes: 0 done, 1 the work failed, 2 the words of the call are off.";

/// `everylayer tokenize --help`
pub const TOKENIZE: &str = "\
Examples:
  everylayer tokenize \"Unbelievable!\"
      a table of tokens on a terminal, JSON into a pipe
  everylayer tokenize \"Unbelievable!\" -f json
      JSON everywhere
  everylayer tokenize -m ./my-model --max-tokens 128 -i texts.txt -f jsonl
      a JSON line for each line of a file, as a model of your own cuts it";

/// `everylayer explore --help`
pub const EXPLORE: &str = "\
Examples:
  everylayer explore \"The bank by the river was closed.\"
      report.html: each token from layer to layer, and the tokens against each
      other
  everylayer explore \"A dog barks.\" \"A cat meows.\" -o pets.html
      and the two texts against each other, at every layer
  everylayer explore -m BAAI/bge-small-en-v1.5 \"Good morning\" -o - > page.html

The page is one file that asks for nothing from any network. All numbers are
cosines. Of a long text the first 64 tokens are shown; the similarity of two
texts is over all their tokens.
Exit codes: 0 done, 1 the work failed, 2 the words of the call are off.";

/// `everylayer info --help`
pub const INFO: &str = "\
Examples:
  everylayer info
      adapters by number and name, and the model in this binary
  everylayer info -m sentence-transformers/all-mpnet-base-v2 --device cpu --json
      a model from the hub, as data";

/// `everylayer doctor --help`
#[cfg(feature = "gpu")]
pub const DOCTOR: &str = "\
Examples:
  everylayer doctor
      every kernel and every state of the model in this binary, on every adapter
  everylayer doctor --device radeon -m BAAI/bge-small-en-v1.5
      the adapters of that name, and a model from the hub
  everylayer doctor --json > report.json
      the same as data, to paste into a bug report

What is compared: each kernel in every variant over awkward shapes, and each
state of a few texts, against the CPU executor. The tolerances are what rounding
explains.
Exit codes: 0 all is right, 1 something is not, or there is no adapter, 2 the
words are off.";

/// `everylayer bench --help`
pub const BENCH: &str = "\
Examples:
  everylayer bench
      a few batches of the model in this binary
  everylayer bench --device gpu --batch 1,8,32 --tokens 16,128 --json
      a row for each pair, as data
  everylayer bench -m ./my-model --dtype f16 --texts docs.txt -l all -p tokens
      texts of your own, every token of every layer
  everylayer bench --plan --batch 32 --tokens 256
      what a device would be asked to do
  everylayer bench --tune
      which cut of each product is fastest on this GPU, kept for later runs of
      any command

A row is timed from text to vectors, tokenisation and readback included, model
load and the first run left out; tokens a second are those of the median. Texts
are made of one common word.
Kernels and counts are of the first row; several batches of it are summed. A
kernel's share is of what the device was measured to do at most, in a loop of
multiply-adds or in a copy, whichever is larger; it is above 1 where a cache is
faster than memory. Planned memory is weights and activations, the peak also has
uniform blocks and staging.
--tune keeps its winners by adapter and driver in everylayer/tuning in the
user's cache folder; they change the speed alone, no bit of a result, and
--no-tune ignores them. Software adapters and the CPU need none.
--plan loads the model onto the device, whose limits shape the work, and runs
nothing; what only a run tells is null in its --json.
Exit codes: 0 done, 1 the work failed, 2 the words of the call are off.";

/// `everylayer wgsl --help`
#[cfg(feature = "gpu")]
pub const WGSL: &str = "\
Examples:
  everylayer wgsl
      names of the kernels, in every form for common sizes of models
  everylayer wgsl attention.d64
      the whole text of one, loops written out, as the driver is given it
  everylayer wgsl matmul.64x64+gelu > matmul.wgsl
      for another compiler

A name is the kernel's file in shaders/, then its choices: the tile of a product
or the head_dim of attention, the storage of weights, the activation.
Exit codes: 0 done, 2 no such kernel.";

/// `everylayer licenses --help`
pub const LICENSES: &str = "\
Examples:
  everylayer licenses | less
  everylayer licenses > licenses.txt";

/// `everylayer completions --help`
pub const COMPLETIONS: &str = "\
Examples:
  everylayer completions fish > ~/.config/fish/completions/everylayer.fish
      options, values, and files by their endings, in fish
  everylayer completions zsh > ~/.zfunc/_everylayer
      with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  eval \"$(everylayer completions bash)\"
      in ~/.bashrc
  everylayer completions powershell | Out-String | Invoke-Expression
      in $PROFILE";
