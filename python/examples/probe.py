"""Which layer tells questions from statements: a grid search over layers, with scikit-learn.

usage: python probe.py
"""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from everylayer.sklearn import LayerEmbedder

THINGS = ["the train", "her sister", "this recipe", "our garden", "the museum", "his old car", "the lecture", "that song"]
STATEMENTS = [f"{thing} is {how}".capitalize() for thing in THINGS for how in ("late again", "worth a visit")]
QUESTIONS = [f"is {thing} {how}".capitalize() for thing in THINGS for how in ("late again", "worth a visit")]


def main() -> None:
    texts, labels = STATEMENTS + QUESTIONS, [0] * len(STATEMENTS) + [1] * len(QUESTIONS)
    probe = make_pipeline(LayerEmbedder(pool="mean"), LogisticRegression(max_iter=1000))
    search = GridSearchCV(probe, {"layerembedder__layers": list(range(7))}, cv=4).fit(texts, labels)
    for layer, score in enumerate(search.cv_results_["mean_test_score"]):
        print(f"layer {layer}: {score:.2f}")
    print(f"best: layer {search.best_params_['layerembedder__layers']}")


if __name__ == "__main__":
    main()
