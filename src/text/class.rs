//! The tokenizer classes that the files of a model name, and what each makes of the settings.
//!
//! A row a class of Transformers 4.57 and 5.23, without the `Fast` at its end. Both versions load
//! `tokenizer.json`, and some classes change what it says to what `tokenizer_config.json` says. What
//! both change is changed here; where only one of them does, `tokenizer.json` holds.

use crate::model::families::FAMILIES;

/// The special tokens that a class has where the files name none: `bos`, `eos`, `unk`, `sep`, `pad`,
/// `cls`, `mask`.
pub(crate) type Specials = [Option<&'static str>; 7];

/// What a class makes of the settings beside `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// `tokenizer.json` holds as it stands.
    File,
    /// `do_lower_case` and `strip_accents` hold over BERT's normalizer, and
    /// `tokenize_chinese_chars` where `chinese`; one that is absent is the class's default.
    Bert { chinese: bool },
    /// `add_prefix_space` holds over a byte-level pre-tokenizer, as `prefix` where it is absent
    /// (`None`: the file holds); where `post`, so it and `trim_offsets` do over RoBERTa's
    /// post-processor.
    Bytes { prefix: Option<bool>, post: bool },
    /// The tokens would be others: the sentence says why.
    Refused(&'static str),
}

/// A tokenizer class.
#[derive(Debug)]
pub(crate) struct TokenizerClass {
    /// Its name, without `Fast` at the end.
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) specials: &'static Specials,
    /// Whether the class gives a model token types where `model_input_names` is absent. Where the
    /// versions differ, it does.
    pub(crate) typed: bool,
}

const NONE: Specials = [None; 7];
const BERT: Specials =
    [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")];
const DEBERTA: Specials = [
    Some("[CLS]"),
    Some("[SEP]"),
    Some("[UNK]"),
    Some("[SEP]"),
    Some("[PAD]"),
    Some("[CLS]"),
    Some("[MASK]"),
];
const ALBERT: Specials = [
    Some("[CLS]"),
    Some("[SEP]"),
    Some("<unk>"),
    Some("[SEP]"),
    Some("<pad>"),
    Some("[CLS]"),
    Some("[MASK]"),
];
const BIG_BIRD: Specials = [
    Some("<s>"),
    Some("</s>"),
    Some("<unk>"),
    Some("[SEP]"),
    Some("<pad>"),
    Some("[CLS]"),
    Some("[MASK]"),
];
const ROBERTA: Specials = [
    Some("<s>"),
    Some("</s>"),
    Some("<unk>"),
    Some("</s>"),
    Some("<pad>"),
    Some("<s>"),
    Some("<mask>"),
];
const MPNET: Specials = [
    Some("<s>"),
    Some("</s>"),
    Some("[UNK]"),
    Some("</s>"),
    Some("<pad>"),
    Some("<s>"),
    Some("<mask>"),
];
const HERBERT: Specials =
    [None, None, Some("<unk>"), Some("</s>"), Some("<pad>"), Some("<s>"), Some("<mask>")];
const FUNNEL: Specials = [
    Some("<s>"),
    Some("</s>"),
    Some("<unk>"),
    Some("<sep>"),
    Some("<pad>"),
    Some("<cls>"),
    Some("<mask>"),
];
const GPT2: Specials =
    [Some("<|endoftext|>"), Some("<|endoftext|>"), Some("<|endoftext|>"), None, None, None, None];
const QWEN2: Specials =
    [None, Some("<|endoftext|>"), Some("<|endoftext|>"), None, Some("<|endoftext|>"), None, None];
const CLIP: Specials = [
    Some("<|startoftext|>"),
    Some("<|endoftext|>"),
    Some("<|endoftext|>"),
    None,
    Some("<|endoftext|>"),
    None,
    None,
];
const UNK: Specials = [None, None, Some("<unk>"), None, None, None, None];
const T5: Specials = [None, Some("</s>"), Some("<unk>"), None, Some("<pad>"), None, None];
const LLAMA: Specials = [Some("<s>"), Some("</s>"), Some("<unk>"), None, None, None, None];
const REFORMER: Specials = [None, Some("</s>"), Some("<unk>"), None, None, None, None];

const PYTHON: &str = "it exists only in Python, with rules that are not implemented here";
const OWN_TOKENS: &str = "it adds tokens and special tokens of its own";
const LANGUAGE: &str = "it adds a language code to each text";
const PAGE: &str = "it reads boxes or nodes of a page beside the text";
const JIEBA: &str = "it splits Chinese words with the library rjieba";

const BERT_RULES: Rules = Rules::Bert { chinese: true };
const BYTE_RULES: Rules = Rules::Bytes { prefix: Some(false), post: false };
const ROBERTA_RULES: Rules = Rules::Bytes { prefix: Some(false), post: true };

const fn typed(name: &'static str, rules: Rules, specials: &'static Specials) -> TokenizerClass {
    TokenizerClass { name, rules, specials, typed: true }
}

/// A class that gives a model no token types.
const fn untyped(name: &'static str, rules: Rules, specials: &'static Specials) -> TokenizerClass {
    TokenizerClass { name, rules, specials, typed: false }
}

const fn refused(name: &'static str, why: &'static str) -> TokenizerClass {
    TokenizerClass { name, rules: Rules::Refused(why), specials: &NONE, typed: true }
}

/// The class of a `tokenizer.json` that no class stands above.
pub(crate) const BACKEND: TokenizerClass = typed("TokenizersBackend", Rules::File, &NONE);

/// Every class that the two versions name.
pub(crate) static CLASSES: &[TokenizerClass] = &[
    BACKEND,
    typed("BloomTokenizer", Rules::File, &NONE),
    typed("ParakeetTokenizer", Rules::File, &NONE),
    // BERT's WordPiece. ConvBERT's settings count in 4.57 alone, as do RetriBERT's and REALM's.
    typed("BertTokenizer", BERT_RULES, &BERT),
    untyped("DistilBertTokenizer", BERT_RULES, &BERT),
    typed("ElectraTokenizer", BERT_RULES, &BERT),
    typed("LayoutLMTokenizer", BERT_RULES, &BERT),
    typed("LxmertTokenizer", BERT_RULES, &BERT),
    typed("MobileBertTokenizer", BERT_RULES, &BERT),
    typed("SqueezeBertTokenizer", BERT_RULES, &BERT),
    typed("DPRContextEncoderTokenizer", BERT_RULES, &BERT),
    typed("DPRQuestionEncoderTokenizer", BERT_RULES, &BERT),
    typed("ConvBertTokenizer", Rules::File, &BERT),
    untyped("RetriBertTokenizer", Rules::File, &NONE),
    typed("RealmTokenizer", Rules::File, &NONE),
    typed("FunnelTokenizer", BERT_RULES, &FUNNEL),
    untyped("MPNetTokenizer", Rules::Bert { chinese: false }, &MPNET),
    typed("HerbertTokenizer", Rules::File, &HERBERT),
    // Byte-level BPE.
    untyped("RobertaTokenizer", ROBERTA_RULES, &ROBERTA),
    untyped("BartTokenizer", ROBERTA_RULES, &ROBERTA),
    untyped("LEDTokenizer", ROBERTA_RULES, &ROBERTA),
    untyped("LongformerTokenizer", ROBERTA_RULES, &ROBERTA),
    untyped("MvpTokenizer", ROBERTA_RULES, &ROBERTA),
    untyped("BlenderbotTokenizer", Rules::Bytes { prefix: None, post: false }, &ROBERTA),
    typed("DebertaTokenizer", BYTE_RULES, &DEBERTA),
    untyped("GPT2Tokenizer", BYTE_RULES, &GPT2),
    untyped("CodeGenTokenizer", BYTE_RULES, &GPT2),
    untyped("Qwen2Tokenizer", Rules::File, &QWEN2),
    untyped("Qwen3_5Tokenizer", Rules::File, &QWEN2),
    untyped("CLIPTokenizer", Rules::File, &CLIP),
    untyped("OpenAIGPTTokenizer", Rules::File, &UNK),
    // Unigram.
    untyped("XLMRobertaTokenizer", Rules::File, &ROBERTA),
    untyped("CamembertTokenizer", Rules::File, &ROBERTA),
    untyped("BarthezTokenizer", Rules::File, &ROBERTA),
    typed("AlbertTokenizer", Rules::File, &ALBERT),
    typed("RemBertTokenizer", Rules::File, &ALBERT),
    typed("FNetTokenizer", Rules::File, &ALBERT),
    typed("DebertaV2Tokenizer", Rules::File, &DEBERTA),
    untyped("BigBirdTokenizer", Rules::File, &BIG_BIRD),
    untyped("ReformerTokenizer", Rules::File, &REFORMER),
    untyped("T5Tokenizer", Rules::File, &T5),
    // Its special tokens around a text are set by 4.57 alone.
    untyped("LlamaTokenizer", Rules::File, &LLAMA),
    // What is refused.
    refused("CodeLlamaTokenizer", OWN_TOKENS),
    refused("CohereTokenizer", OWN_TOKENS),
    refused("EsmcTokenizer", OWN_TOKENS),
    refused("GPTNeoXTokenizer", OWN_TOKENS),
    refused("GemmaTokenizer", OWN_TOKENS),
    refused("LasrTokenizer", OWN_TOKENS),
    refused("LukeTokenizer", OWN_TOKENS),
    refused("MLukeTokenizer", OWN_TOKENS),
    refused("MT5Tokenizer", OWN_TOKENS),
    refused("NougatTokenizer", OWN_TOKENS),
    refused("PegasusTokenizer", OWN_TOKENS),
    refused("Siglip2Tokenizer", OWN_TOKENS),
    refused("SplinterTokenizer", OWN_TOKENS),
    refused("Tipsv2Tokenizer", OWN_TOKENS),
    refused("VideoPrismTokenizer", OWN_TOKENS),
    refused("WhisperTokenizer", OWN_TOKENS),
    refused("XGLMTokenizer", OWN_TOKENS),
    refused("XLNetTokenizer", OWN_TOKENS),
    refused("MBart50Tokenizer", LANGUAGE),
    refused("MBartTokenizer", LANGUAGE),
    refused("NllbTokenizer", LANGUAGE),
    refused("SeamlessM4TTokenizer", LANGUAGE),
    refused("LayoutLMv2Tokenizer", PAGE),
    refused("LayoutLMv3Tokenizer", PAGE),
    refused("LayoutXLMTokenizer", PAGE),
    refused("MarkupLMTokenizer", PAGE),
    refused("UdopTokenizer", PAGE),
    refused("DPRReaderTokenizer", PAGE),
    refused("CpmTokenizer", JIEBA),
    refused("RoFormerTokenizer", JIEBA),
    refused("BartphoTokenizer", PYTHON),
    refused("BertGenerationTokenizer", PYTHON),
    refused("BertJapaneseTokenizer", PYTHON),
    refused("BertweetTokenizer", PYTHON),
    refused("BioGptTokenizer", PYTHON),
    refused("BlenderbotSmallTokenizer", PYTHON),
    refused("ByT5Tokenizer", PYTHON),
    refused("CTRLTokenizer", PYTHON),
    refused("CanineTokenizer", PYTHON),
    refused("ClvpTokenizer", PYTHON),
    refused("CpmAntTokenizer", PYTHON),
    refused("DiaTokenizer", PYTHON),
    refused("ErnieMTokenizer", PYTHON),
    refused("EsmTokenizer", PYTHON),
    refused("FSMTTokenizer", PYTHON),
    refused("FastSpeech2ConformerTokenizer", PYTHON),
    refused("FlaubertTokenizer", PYTHON),
    refused("GPTNeoXJapaneseTokenizer", PYTHON),
    refused("GPTSanJapaneseTokenizer", PYTHON),
    refused("GPTSw3Tokenizer", PYTHON),
    refused("JukeboxTokenizer", PYTHON),
    refused("M2M100Tokenizer", PYTHON),
    refused("MarianTokenizer", PYTHON),
    refused("MgpstrTokenizer", PYTHON),
    refused("MistralCommonBackend", PYTHON),
    refused("MistralCommonTokenizer", PYTHON),
    refused("MyT5Tokenizer", PYTHON),
    refused("PLBartTokenizer", PYTHON),
    refused("ParakeetCTCTokenizer", PYTHON),
    refused("PerceiverTokenizer", PYTHON),
    refused("PhobertTokenizer", PYTHON),
    refused("ProphetNetTokenizer", PYTHON),
    refused("PythonBackend", PYTHON),
    refused("RagTokenizer", PYTHON),
    refused("RoCBertTokenizer", PYTHON),
    refused("SentencePieceBackend", PYTHON),
    refused("SiglipTokenizer", PYTHON),
    refused("Speech2Text2Tokenizer", PYTHON),
    refused("Speech2TextTokenizer", PYTHON),
    refused("SpeechT5Tokenizer", PYTHON),
    refused("TapasTokenizer", PYTHON),
    refused("TapexTokenizer", PYTHON),
    refused("TransfoXLTokenizer", PYTHON),
    refused("VitsTokenizer", PYTHON),
    refused("Wav2Vec2CTCTokenizer", PYTHON),
    refused("Wav2Vec2PhonemeCTCTokenizer", PYTHON),
    refused("Wav2Vec2Tokenizer", PYTHON),
    refused("XLMProphetNetTokenizer", PYTHON),
    refused("XLMTokenizer", PYTHON),
];

/// The class of this name, with or without `Fast` at its end.
pub(crate) fn find(name: &str) -> Option<&'static TokenizerClass> {
    let name = match name.strip_suffix("Fast").unwrap_or(name) {
        "PreTrainedTokenizer" => BACKEND.name,
        name => name,
    };
    CLASSES.iter().find(|class| class.name == name)
}

/// The class of a model of this type where no file names one; `None` where it has none of its own.
pub(crate) fn of_model_type(model_type: &str) -> Option<&'static TokenizerClass> {
    FAMILIES.iter().find(|family| family.model_type == model_type)?.tokenizer.and_then(find)
}

#[cfg(test)]
mod tests {
    use crate::model::families::FAMILIES;

    #[test]
    fn tokenizers_of_families_are_classes_that_are_known() {
        for family in FAMILIES {
            let known = super::of_model_type(family.model_type).is_some();
            assert_eq!(known, family.tokenizer.is_some(), "{}", family.model_type);
        }
    }
}
