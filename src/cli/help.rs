//! Examples, shown at the end of `--help`. Every line of them is meant to be run as it stands.

/// `everylayer --help`
pub const PROGRAM: &str = "\
Examples:
  everylayer embed \"Good morning\" \"Bonjour\"
      one vector per text, from the model in this binary
  everylayer embed --layers all --pool tokens Hi
      every hidden state of every token
  everylayer embed -i texts.txt -o vectors.npy
      one text per line, into a NumPy array
  everylayer info
      list the GPUs, describe the model
  everylayer doctor
      check that the GPUs compute the right numbers
  everylayer bench
      measure their speed, and where the time goes

Run `everylayer COMMAND --help` for the options of a command.";

/// `everylayer embed --help`
pub const EMBED: &str = "\
Examples:
  everylayer embed \"Good morning\"
      the sentence vector, as the checkpoint pools it, as JSON
  everylayer embed -l -4..-1 --combine concat -p cls \"Good morning\"
      the first token of the last four layers, concatenated
  everylayer embed -l all -p words \"Good morning\"
      one vector per word and hidden state
  everylayer embed -m BAAI/bge-small-en-v1.5 -i docs.jsonl -o docs.safetensors
      a model from the hub, on the field `text` of each line
  everylayer embed -i docs.csv --field body -l 0,3,-1 --normalize false -o d.npz
      three layers of the column `body`, not normalised
  tail -f log.txt | everylayer embed -i -
      one JSON line per text, as texts arrive
  everylayer embed -i corpus.parquet --keep id -o vectors.parquet --resume
      a large file; run the same command again to continue after an interruption
  everylayer embed --plan \"Good morning\"
      print the work for the device without running it

Layers are hidden states: state 0 is the input of block 1 (the embeddings),
state i the output of block i. Negative numbers count from the end, -1 is the
last state. Ranges are inclusive: 1..3, 3.., -4..-1.
Lines of .jsonl with a field `text_pair` are read as pairs.
Exit codes: 0 success, 1 failure, 2 invalid arguments.";

/// `everylayer tokenize --help`
pub const TOKENIZE: &str = "\
Examples:
  everylayer tokenize \"Unbelievable!\"
      a table of tokens on a terminal, JSON into a pipe
  everylayer tokenize \"Unbelievable!\" -f json
      always JSON
  everylayer tokenize -m ./my-model --max-tokens 128 -i texts.txt -f jsonl
      one JSON line per line of a file, with the tokenizer of your own model";

/// `everylayer attention --help`
pub const ATTENTION: &str = "\
Examples:
  everylayer attention \"The bank by the river was closed.\"
      every head of the last layer: rows are queries and add up to 1
  everylayer attention -l all --reduce entropy -i texts.txt -o entropy.npz
      one number per layer, head and token, of each line of a file
  everylayer attention -l 3,4 --heads 0,-1 --reduce top:3 \"Good morning\"
      the three keys that two heads look at most
  everylayer attention -l all --reduce rollout \"Good morning\" -o rollout.npy
      attention rollout through all layers

Layers are blocks, counted from 1; heads are counted from 0. What the full
weights of long texts take is said before the work begins.
Exit codes: 0 success, 1 failure, 2 invalid arguments.";

/// `everylayer explore --help`
pub const EXPLORE: &str = "\
Examples:
  everylayer explore \"The bank by the river was closed.\"
      report.html: each token across the layers, and the similarity of all pairs
      of tokens
  everylayer explore \"A dog barks.\" \"A cat meows.\" -o pets.html
      also the similarity of the two texts at every layer
  everylayer explore -m BAAI/bge-small-en-v1.5 \"Good morning\" -o - > page.html

The page is one file that needs no network. All numbers are cosine similarities.
Only the first 64 tokens of a long text are shown; the similarity of two texts
uses all their tokens.
Exit codes: 0 success, 1 failure, 2 invalid arguments.";

/// `everylayer info --help`
pub const INFO: &str = "\
Examples:
  everylayer info
      GPU adapters with number and name, and the model in this binary
  everylayer info -m sentence-transformers/all-mpnet-base-v2 --device cpu --json
      a model from the hub, as JSON";

/// `everylayer doctor --help`
#[cfg(feature = "gpu")]
pub const DOCTOR: &str = "\
Examples:
  everylayer doctor
      every kernel and every state of the model in this binary, on every adapter
  everylayer doctor --device radeon -m BAAI/bge-small-en-v1.5
      adapters with that name, and a model from the hub
  everylayer doctor --quick
      the kernels of the model alone: seconds on software Vulkan, where all take minutes
  everylayer doctor --json > report.json
      the same as JSON, for a bug report

Every variant of each kernel (on odd shapes) and every hidden state of a few
texts are compared with the CPU executor. Tolerances allow for rounding.
Exit codes: 0 all results match, 1 results differ or there is no adapter, 2
invalid arguments.";

/// `everylayer bench --help`
pub const BENCH: &str = "\
Examples:
  everylayer bench
      a few batches of the model in this binary
  everylayer bench --device gpu --batch 1,8,32 --tokens 16,128 --json
      one row per combination, as JSON
  everylayer bench -m ./my-model --dtype f16 --texts docs.txt -l all -p tokens
      your own texts, every token of every layer
  everylayer bench --plan --batch 32 --tokens 256
      print the work for the device without running it
  everylayer bench --tune
      find the fastest kernel for each matrix product on this GPU, and store the
      result for later runs of all commands

The time of a row runs from text to vectors, including tokenisation and
readback, without model loading and the first run; tokens per second are of the
median run. Texts repeat one common word.
Kernels and counts are those of the first row, summed over its batches. The
share of a kernel is relative to the measured peak of the device (multiply-adds
or copying, whichever is closer); it can exceed 1 when a cache is faster than
memory. Planned memory is weights and activations; peak memory adds uniform
blocks and staging buffers.
--tune stores its results per adapter and driver in everylayer/tuning in the
user's cache folder. They affect speed only, never results; --no-tune ignores
them. Software adapters and the CPU are not tuned.
--plan loads the model onto the device and prints the work without running it;
values that only a run can measure are null in its --json.
Exit codes: 0 success, 1 failure, 2 invalid arguments.";

/// `everylayer wgsl --help`
#[cfg(feature = "gpu")]
pub const WGSL: &str = "\
Examples:
  everylayer wgsl
      list the kernels, in all variants for common model sizes
  everylayer wgsl attention.d64
      the full source of one kernel, loops unrolled, as passed to the driver
  everylayer wgsl matmul.64x64+gelu > matmul.wgsl
      save it, for example for another compiler

A name is the kernel's file in shaders/ followed by its parameters: the tile of
a matrix product or the head_dim of attention, the storage type of weights, the
activation.
Exit codes: 0 success, 2 unknown kernel.";

/// `everylayer licenses --help`
pub const LICENSES: &str = "\
Examples:
  everylayer licenses | less
  everylayer licenses > licenses.txt";

/// `everylayer completions --help`
pub const COMPLETIONS: &str = "\
Examples:
  everylayer completions fish > ~/.config/fish/completions/everylayer.fish
      completes options, values, and files by ending, in fish
  everylayer completions zsh > ~/.zfunc/_everylayer
      with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  eval \"$(everylayer completions bash)\"
      in ~/.bashrc
  everylayer completions powershell | Out-String | Invoke-Expression
      in $PROFILE";
