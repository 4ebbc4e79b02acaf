"""huggingface_hub's InferenceClient against POST /: the task of the model served."""

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from cases import arguments, check, cosine, demand, equal, near, refused, says, unit


def main():
    server, model = arguments(__doc__)
    # Without a token the client would send the one of whoever runs this.
    client = InferenceClient(base_url=server.http, token=server.api_key or "none is set")
    checks = {
        "sentence_embedding": [feature_extraction, sentence_similarity],
        "embedding": [token_embeddings],
        "sequence_classification": [zero_shot_classification if model.chooses_labels() else text_classification],
        "token_classification": [token_classification],
        "fill_mask": [fill_mask],
    }
    for run in checks[model.task]:
        run(client, model)
    if server.api_key:
        wrong_key(server, model)
    else:
        other_task(client, model)


def feature_extraction(client, model):
    """Like text-embeddings-inference, one long unless asked otherwise."""
    texts = [case["text"] for case in model.cases]
    expected = [unit(case["embedding"]) for case in model.cases]
    with check("feature_extraction"):
        model.same_embeddings(rows(client.feature_extraction(texts[0]), 1), expected[:1])
    with check("feature_extraction, several texts"):
        model.same_embeddings(rows(client.feature_extraction(texts), len(texts)), expected)
    with check("feature_extraction, not normalized"):
        (got,) = rows(client.feature_extraction(texts[0], normalize=False), 1)
        model.same_embedding(unit(got), expected[0])
        if not model.normalizes():
            near(got, model.cases[0]["embedding"])
    with check("feature_extraction, every option"):
        half = len(expected[0]) // 2
        got = client.feature_extraction(
            texts[0], normalize=True, dimensions=half, truncate=True, truncation_direction="right"
        )
        model.same_embeddings(rows(got, 1), [unit(expected[0][:half])])
    for name in model.cases[0].get("prompt", {}):
        with check(f"feature_extraction, prompt {name}"):
            got = client.feature_extraction(texts, prompt_name=name)
            model.same_embeddings(rows(got, len(texts)), [unit(case["prompt"][name]) for case in model.cases])


def rows(array, count):
    """One vector a text, whether or not a single text's is in a list of its own."""
    equal(array.size % count, 0)
    demand(array.ndim == 2 or count == 1, f"shape {array.shape}")
    return array.reshape(count, -1)


def sentence_similarity(client, model):
    source, *others = model.cases
    with check("sentence_similarity"):
        got = client.sentence_similarity(source["text"], [case["text"] for case in others])
        model.same_similarities(got, [cosine(source["embedding"], case["embedding"]) for case in others])


def token_embeddings(client, model):
    for number, case in enumerate(model.cases):
        with check(f"feature_extraction of tokens, text {number}"):
            array = client.feature_extraction(case["text"])
            equal(array.shape[-2:], (len(case["input_ids"]), len(case["cls"])))
            hidden = array.reshape(array.shape[-2:])
            near(hidden[0], case["cls"])
            near(hidden[-1], case["last_token"])
            near(hidden.mean(axis=0), case["mean"])


def text_classification(client, model):
    equal("text_pair" in model.cases[0], False)
    for number, case in enumerate(model.cases):
        with check(f"text_classification, text {number}"):
            expected = model.best_first(case)
            same_labels(client.text_classification(case["text"]), expected)
    case = model.cases[0]
    with check("text_classification, top_k"):
        same_labels(client.text_classification(case["text"], top_k=1), model.best_first(case)[:1])
    with check("text_classification, function_to_apply=none"):
        logits = sorted(zip(case["logits"], model.labels()), reverse=True)
        got = client.text_classification(case["text"], function_to_apply="none")
        same_labels(got, [{"label": label, "score": logit} for logit, label in logits])


def same_labels(got, expected):
    equal([it.label for it in got], [it["label"] for it in expected])
    near([it.score for it in got], [it["score"] for it in expected])


def zero_shot_classification(client, model):
    for name, options, texts, results in model.requests("labels", "template", "multi_label"):
        if "labels" not in options:
            continue
        with check(f"zero_shot_classification, {name}"):
            for text, result in zip(texts, results):
                got = client.zero_shot_classification(
                    text,
                    candidate_labels=options["labels"],
                    multi_label=options.get("multi_label"),
                    hypothesis_template=options.get("template"),
                )
                equal([it.label for it in got], result["labels"])
                near([it.score for it in got], result["scores"])


def token_classification(client, model):
    # The reference says nothing about some texts.
    cases = [case for case in model.cases if "pipeline" in case]
    for strategy in cases[0]["pipeline"]:
        with check(f"token_classification, {strategy}"):
            for case in cases:
                got = client.token_classification(case["text"], aggregation_strategy=strategy)
                same_entities(got, case["pipeline"][strategy])
    with check("token_classification, simple by default"):
        case = cases[0]
        same_entities(client.token_classification(case["text"]), case["pipeline"]["simple"])
    for name, options, texts, results in model.requests("stride", "aggregation", "ignore_labels"):
        with check(f"token_classification, {name}"):
            for text, result in zip(texts, results):
                got = client.token_classification(
                    text,
                    aggregation_strategy=options["aggregation"],
                    ignore_labels=options.get("ignore_labels"),
                    stride=options.get("stride"),
                )
                same_entities(got, result["entities"])


def same_entities(got, expected):
    for key in ("word", "start", "end"):
        equal([it[key] for it in got], [it[key] for it in expected])
    # A token has an `entity`, a span an `entity_group`; requests.json says the latter for both.
    equal([label(it) for it in got], [label(it) for it in expected])
    near([it["score"] for it in got], [it["score"] for it in expected])


def label(entity):
    return entity.get("entity_group") or entity.get("entity")


def fill_mask(client, model):
    for name, options, texts, results in model.requests("top_k", "targets"):
        with check(f"fill_mask, {name}"):
            for text, result in zip(texts, results):
                got = client.fill_mask(text, **options)
                # Like transformers, one mask's words are not in a list of their own.
                masks = [got] if len(result["masks"]) == 1 else got
                equal(len(masks), len(result["masks"]))
                for words, expected in zip(masks, result["masks"]):
                    same_words(words, expected)


def same_words(got, expected):
    for key in ("token", "token_str", "sequence"):
        equal([it[key] for it in got], [it[key] for it in expected])
    near([it.score for it in got], [it["score"] for it in expected])


def other_task(client, model):
    """What the model cannot do is refused, by name."""
    with check(f"what is not {model.task} is refused"):
        with refused(HfHubHTTPError) as caught:
            if model.task == "sentence_embedding":
                client.zero_shot_classification("text", candidate_labels=["one", "two"])
            else:
                client.sentence_similarity("text", ["another text"])
        equal(caught[0].response.status_code, 422)
        says(caught[0].response.text, "candidate_labels" if model.task == "sentence_embedding" else model.task)


def wrong_key(server, model):
    with check("a wrong key is refused"):
        client = InferenceClient(base_url=server.http, token="wrong")
        with refused(HfHubHTTPError) as caught:
            client.feature_extraction(model.cases[0]["text"])
        equal(caught[0].response.status_code, 401)


if __name__ == "__main__":
    main()
