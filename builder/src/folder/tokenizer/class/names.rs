//! The names of transformers 5.24: of its tokenizer classes, and of the model types that
//! it registers them for.
//!
//! All tables but `SERVED` are as `tests/tokenizers/make_classes.py --tables` prints them,
//! from `TOKENIZER_MAPPING_NAMES`, `MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`,
//! `CONFIG_MAPPING_NAMES` and `dir(transformers)`; `tests/tokenizers/classes.json` has what
//! `AutoTokenizer` makes of each.

use super::Class;

/// Every class that is served, and its names, the first as transformers spells it. `Fast`
/// at the end of a name means nothing, unless the name is here with it.
const SERVED: [(Class, &[&str]); 21] = [
    (Class::Albert, &["AlbertTokenizer"]),
    (
        Class::Bert,
        &[
            "BertTokenizer",
            "ElectraTokenizer",
            "LayoutLMTokenizer",
            "LxmertTokenizer",
            "MobileBertTokenizer",
            "SqueezeBertTokenizer",
        ],
    ),
    (Class::BigBird, &["BigBirdTokenizer"]),
    (Class::Camembert, &["CamembertTokenizer"]),
    (Class::ConvBert, &["ConvBertTokenizer"]),
    (Class::Deberta, &["DebertaTokenizer"]),
    (Class::DebertaV2, &["DebertaV2Tokenizer"]),
    (Class::DistilBert, &["DistilBertTokenizer"]),
    (
        Class::Dpr,
        &["DPRQuestionEncoderTokenizer", "DPRContextEncoderTokenizer"],
    ),
    (
        Class::DprFast,
        &[
            "DPRQuestionEncoderTokenizerFast",
            "DPRContextEncoderTokenizerFast",
        ],
    ),
    (Class::Esm, &["EsmTokenizer"]),
    (Class::FNet, &["FNetTokenizer"]),
    (Class::Gemma, &["GemmaTokenizer"]),
    (
        Class::Generic,
        &["TokenizersBackend", "PreTrainedTokenizer", "BloomTokenizer"],
    ),
    (Class::Gpt2, &["GPT2Tokenizer"]),
    (Class::Llama, &["LlamaTokenizer"]),
    (Class::Mpnet, &["MPNetTokenizer"]),
    (Class::RemBert, &["RemBertTokenizer"]),
    (
        Class::Roberta,
        &[
            "RobertaTokenizer",
            "BartTokenizer",
            "LEDTokenizer",
            "LongformerTokenizer",
            "MvpTokenizer",
        ],
    ),
    (Class::T5, &["T5Tokenizer"]),
    (Class::XlmRoberta, &["XLMRobertaTokenizer"]),
];

/// The classes that transformers registers for model types, and the types of each. What has
/// a type that is not here has no class of its own.
const REGISTERED: [(&str, &str); 93] = [
    ("AlbertTokenizer", "albert yoso"),
    ("BartTokenizer", "florence2"),
    ("BarthezTokenizer", "barthez"),
    ("BartphoTokenizer", "bartpho"),
    ("BertGenerationTokenizer", "bert-generation"),
    ("BertJapaneseTokenizer", "bert-japanese"),
    (
        "BertTokenizer",
        "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git \
         grounding-dino layoutlm megatron-bert mm-grounding-dino nezha nomic_bert qdqbert \
         realm retribert squeezebert tvp vilt visual_bert",
    ),
    ("BertweetTokenizer", "bertweet"),
    ("BigBirdTokenizer", "big_bird"),
    ("BioGptTokenizer", "biogpt"),
    ("BlenderbotSmallTokenizer", "blenderbot-small"),
    ("BlenderbotTokenizer", "blenderbot"),
    ("ByT5Tokenizer", "byt5"),
    (
        "CLIPTokenizer",
        "aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip",
    ),
    ("CTRLTokenizer", "ctrl"),
    ("CamembertTokenizer", "camembert"),
    ("CanineTokenizer", "canine"),
    ("ClvpTokenizer", "clvp"),
    ("CodeLlamaTokenizer", "code_llama"),
    ("CohereTokenizer", "aya_vision cohere cohere2"),
    ("CpmAntTokenizer", "cpmant"),
    ("CpmTokenizer", "cpm"),
    ("DPRQuestionEncoderTokenizer", "dpr"),
    ("DebertaTokenizer", "deberta"),
    ("DebertaV2Tokenizer", "deberta-v2"),
    ("DiaTokenizer", "dia"),
    ("EsmTokenizer", "esm"),
    ("EsmcTokenizer", "esmc esmfold2"),
    ("FNetTokenizer", "fnet"),
    ("FSMTTokenizer", "fsmt"),
    ("FlaubertTokenizer", "flaubert"),
    ("FunnelTokenizer", "funnel"),
    (
        "GPT2Tokenizer",
        "blip-2 codegen dbrx emu3 gpt-sw3 gpt2 gpt_neo gptj hyperclovax_vision_v2 \
         instructblip instructblipvideo jais2 opt phi starcoder2",
    ),
    ("GPTNeoXJapaneseTokenizer", "gpt_neox_japanese"),
    (
        "GPTNeoXTokenizer",
        "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm",
    ),
    (
        "GemmaTokenizer",
        "diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma \
         shieldgemma2 t5gemma zaya",
    ),
    ("HerbertTokenizer", "herbert"),
    ("LEDTokenizer", "led"),
    ("LasrTokenizer", "lasr_ctc lasr_encoder"),
    ("LayoutLMv2Tokenizer", "layoutlmv2"),
    ("LayoutLMv3Tokenizer", "layoutlmv3"),
    ("LayoutXLMTokenizer", "layoutxlm"),
    ("LlamaTokenizer", "idefics idefics2"),
    ("LukeTokenizer", "luke"),
    ("LxmertTokenizer", "lxmert"),
    ("M2M100Tokenizer", "m2m_100"),
    ("MBart50Tokenizer", "mbart50"),
    ("MBartTokenizer", "mbart"),
    ("MLukeTokenizer", "mluke"),
    ("MPNetTokenizer", "mpnet"),
    ("MarianTokenizer", "marian"),
    ("MarkupLMTokenizer", "markuplm"),
    ("MgpstrTokenizer", "mgp-str"),
    ("MobileBertTokenizer", "mobilebert"),
    ("MvpTokenizer", "mvp"),
    ("MyT5Tokenizer", "myt5"),
    ("NllbTokenizer", "nllb nllb-moe"),
    ("NougatTokenizer", "nougat pp_formulanet"),
    ("OpenAIGPTTokenizer", "openai-gpt"),
    ("PLBartTokenizer", "plbart"),
    (
        "ParakeetTokenizer",
        "granite_speech5_ctc nemotron3_5_asr nemotron_asr_streaming omniasr_ctc parakeet_ctc \
         parakeet_rnnt parakeet_tdt",
    ),
    ("PegasusTokenizer", "pegasus"),
    ("PerceiverTokenizer", "perceiver"),
    ("PhobertTokenizer", "phobert"),
    ("ProphetNetTokenizer", "prophetnet"),
    (
        "Qwen2Tokenizer",
        "audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl \
         lighton_ocr moss_transcribe_diarize ovis2 qianfan_ocr qwen2 qwen2_5_omni qwen2_5_vl \
         qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe \
         qwen3_vl qwen3_vl_moe vibevoice",
    ),
    (
        "Qwen3_5Tokenizer",
        "qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp",
    ),
    ("RagTokenizer", "rag"),
    ("ReformerTokenizer", "reformer"),
    ("RemBertTokenizer", "rembert"),
    ("RoCBertTokenizer", "roc_bert"),
    ("RoFormerTokenizer", "roformer"),
    (
        "RobertaTokenizer",
        "bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta \
         roberta-prelayernorm",
    ),
    ("SeamlessM4TTokenizer", "seamless_m4t seamless_m4t_v2"),
    ("Siglip2Tokenizer", "siglip2"),
    ("SiglipTokenizer", "siglip"),
    ("Speech2TextTokenizer", "speech_to_text"),
    ("SpeechT5Tokenizer", "speecht5"),
    ("SplinterTokenizer", "splinter"),
    (
        "T5Tokenizer",
        "mt5 musicgen musicgen_melody switch_transformers t5",
    ),
    ("TapasTokenizer", "tapas"),
    ("Tipsv2Tokenizer", "tipsv2"),
    (
        "TokenizersBackend",
        "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm \
         cohere_asr ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite \
         glm4v glm4v_moe glm_image glmasr got_ocr2 gpt_bigcode gradium_phonon_tts granite \
         granitemoe granitemoehybrid granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm \
         internlm2 internlm3 iquestcoder jamba kimi_k25 kimi_linear kosmos-2 llava llava_next \
         mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 minicpmv4_7 minimax_m2 \
         ministral ministral3 mistral mistral3 mistral_large4 mixtral modernbert \
         modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2 \
         olmo3 olmo_hybrid omniasr opencua openvla paddleocr_vl pegasus_x persimmon phi3 \
         phi3_v phimoe pix2struct pixtral pocket_tts smolvlm stablelm step3_vl umt5 vipllava \
         voxtral voxtral_realtime xlm-roberta-xl",
    ),
    ("UdopTokenizer", "udop"),
    ("VideoPrismTokenizer", "videoprism"),
    ("VitsTokenizer", "vits"),
    (
        "Wav2Vec2CTCTokenizer",
        "data2vec-audio hubert unispeech unispeech-sat wav2vec2 wav2vec2-bert \
         wav2vec2-conformer",
    ),
    ("Wav2Vec2PhonemeCTCTokenizer", "wav2vec2_phoneme"),
    ("WhisperTokenizer", "whisper"),
    ("XGLMTokenizer", "xglm"),
    (
        "XLMRobertaTokenizer",
        "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod",
    ),
    ("XLMTokenizer", "xlm"),
    ("XLNetTokenizer", "xlnet"),
];

/// Classes that transformers knows and this program does not: they tokenise in Python, or
/// build a tokenizer of their own. Names in no table are nobody's, and transformers reads
/// such a folder with [`Class::Generic`].
const UNSUPPORTED: [&str; 79] = [
    "BarthezTokenizer",
    "BartphoTokenizer",
    "BasicTokenizer",
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertweetTokenizer",
    "BioGptTokenizer",
    "BlenderbotSmallTokenizer",
    "BlenderbotTokenizer",
    "ByT5Tokenizer",
    "CLIPTokenizer",
    "CTRLTokenizer",
    "CanineTokenizer",
    "CharacterTokenizer",
    "ClvpTokenizer",
    "CodeGenTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "CpmAntTokenizer",
    "CpmTokenizer",
    "DPRReaderTokenizer",
    "DiaTokenizer",
    "EsmcTokenizer",
    "FSMTTokenizer",
    "FastSpeech2ConformerTokenizer",
    "FlaubertTokenizer",
    "FunnelTokenizer",
    "GPTNeoXJapaneseTokenizer",
    "GPTNeoXTokenizer",
    "GPTSw3Tokenizer",
    "HerbertTokenizer",
    "LasrTokenizer",
    "LayoutLMv2Tokenizer",
    "LayoutLMv3Tokenizer",
    "LayoutXLMTokenizer",
    "LukeTokenizer",
    "M2M100Tokenizer",
    "MBart50Tokenizer",
    "MBartTokenizer",
    "MLukeTokenizer",
    "MarianTokenizer",
    "MarkupLMTokenizer",
    "MecabTokenizer",
    "MgpstrTokenizer",
    "MyT5Tokenizer",
    "NllbTokenizer",
    "NougatTokenizer",
    "OpenAIGPTTokenizer",
    "PLBartTokenizer",
    "ParakeetTokenizer",
    "PegasusTokenizer",
    "PerceiverTokenizer",
    "PhobertTokenizer",
    "Pop2PianoTokenizer",
    "ProphetNetTokenizer",
    "Qwen2Tokenizer",
    "Qwen3_5Tokenizer",
    "RagTokenizer",
    "ReformerTokenizer",
    "RoCBertTokenizer",
    "RoFormerTokenizer",
    "SeamlessM4TTokenizer",
    "Siglip2Tokenizer",
    "SiglipTokenizer",
    "Speech2TextTokenizer",
    "SpeechT5Tokenizer",
    "SplinterTokenizer",
    "TapasTokenizer",
    "Tipsv2Tokenizer",
    "UdopTokenizer",
    "VideoPrismTokenizer",
    "VitsTokenizer",
    "Wav2Vec2CTCTokenizer",
    "Wav2Vec2PhonemeCTCTokenizer",
    "WhisperTokenizer",
    "WordpieceTokenizer",
    "XGLMTokenizer",
    "XLMTokenizer",
    "XLNetTokenizer",
];

/// Model types, and values of config.json's `model_name`, whose folders name a class that
/// transformers does not believe.
const NOT_BELIEVED: [&str; 41] = [
    "arctic",
    "camembertv2-base",
    "chatlm",
    "cohere_asr",
    "ernie4_5",
    "ernie4_5_moe",
    "fuyu",
    "h2ovl_chat",
    "hyperclovax",
    "hyperclovax_vision_v2",
    "hyperclovax_vlm",
    "internlm2",
    "internlm3",
    "iquestcoder",
    "jamba",
    "llava",
    "llava_next",
    "minicpm3",
    "minicpmv",
    "minimax_m2",
    "modernbert",
    "modernbert-decoder",
    "molmo",
    "molmo2",
    "nemotron",
    "nvfp4",
    "opencua",
    "openvla",
    "paddleocr_vl",
    "phi3",
    "phi3_v",
    "phimoe",
    "qwen2",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "qwen4_exp",
    "siglip2",
    "smolvlm",
    "step3_vl",
    "vipllava",
];

/// Model types that a class is registered for, and that transformers has no config of: where
/// no file names a class, they have none.
const GONE: [&str; 19] = [
    "barthez",
    "bartpho",
    "bert-japanese",
    "bertweet",
    "byt5",
    "code_llama",
    "cpm",
    "herbert",
    "mbart50",
    "mega",
    "mluke",
    "myt5",
    "nezha",
    "nllb",
    "phobert",
    "qdqbert",
    "realm",
    "retribert",
    "wav2vec2_phoneme",
];

/// A name that is known, served or not.
#[derive(Clone, Copy)]
pub(super) enum Known {
    Served(Class),
    Unsupported(&'static str),
    Nobodys,
}

/// The class of a name: as it is, or else without `Fast`.
pub(super) fn of_name(name: &str) -> Known {
    let short = name.strip_suffix("Fast").unwrap_or(name);
    let served = |name: &str| SERVED.iter().find(|(_, names)| names.contains(&name));
    if let Some((class, _)) = served(name).or_else(|| served(short)) {
        return Known::Served(*class);
    }
    let unsupported = UNSUPPORTED.iter().find(|known| **known == short);
    unsupported.map_or(Known::Nobodys, |known| Known::Unsupported(known))
}

/// As transformers spells a class.
pub(super) fn of_class(class: Class) -> &'static str {
    let served = SERVED.iter().find(|(served, _)| *served == class);
    served.map_or("", |(_, names)| names[0])
}

/// The name of the class that is registered for a model type.
pub(super) fn registered(model_type: &str) -> Option<&'static str> {
    let is_of = |types: &str| types.split(' ').any(|it| it == model_type);
    let (name, _) = REGISTERED.iter().find(|(_, types)| is_of(types))?;
    Some(name)
}

/// Whether the class that a folder of this type, or of this name, states is wrong.
pub(super) fn is_not_believed(type_or_name: &str) -> bool {
    NOT_BELIEVED.contains(&type_or_name)
}

/// The class of a folder of this type that names none.
pub(super) fn of_model_type(model_type: &str) -> Known {
    match registered(model_type) {
        Some(name) if !GONE.contains(&model_type) => of_name(name),
        _ => Known::Nobodys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_one_table() {
        let served = SERVED.iter().flat_map(|(_, names)| *names);
        let mut names: Vec<&str> = served.chain(&UNSUPPORTED).copied().collect();
        let mut types: Vec<&str> = REGISTERED.iter().flat_map(|it| it.1.split(' ')).collect();
        for table in [&mut names, &mut types] {
            table.sort_unstable();
            assert!(table.windows(2).all(|pair| pair[0] != pair[1]), "{table:?}");
        }
        for (name, _) in REGISTERED {
            assert!(names.contains(&name), "{name} is not known");
        }
        assert!(GONE.iter().all(|it| types.contains(it)));
        assert!(NOT_BELIEVED.iter().all(|it| types.contains(it)));
    }
}
