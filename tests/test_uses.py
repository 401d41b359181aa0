"""What gradient and curvature are for: Newton's method, and objectives for gradient boosting."""

import numpy as np
import pytest
from sklearn._loss import HalfBinomialLoss, HalfPoissonLoss, HalfSquaredError
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.preprocessing import StandardScaler

from lossbook import BCEWithLogitsLoss, MSELoss, PoissonNLLLoss


def newton(loss, X, y, steps=25):
    """Minimise the summed loss of X w plus a small penalty, by full Newton steps."""
    w, penalty = np.zeros(X.shape[1]), 1e-2 * np.eye(X.shape[1])
    for _ in range(steps):
        score = X @ w
        slope = X.T @ loss.grad(score, y) + penalty @ w
        bend = X.T @ (loss.curvature(score, y)[:, None] * X) + penalty
        w = w - np.linalg.solve(bend, slope)
    return w


def test_newton_fits_what_scikit_learn_fits():
    data = load_breast_cancer()
    X = StandardScaler().fit_transform(data.data[:, :5])
    w = newton(BCEWithLogitsLoss(reduction="sum"), X, data.target)
    theirs = LogisticRegression(C=1 / 1e-2, fit_intercept=False, tol=1e-10, max_iter=1000)
    np.testing.assert_allclose(w, theirs.fit(X, data.target).coef_[0], rtol=1e-5, atol=1e-6)

    counts = np.random.default_rng(0).poisson(np.exp(X[:, :3] @ [0.3, -0.2, 0.1]))
    w = newton(PoissonNLLLoss(reduction="sum"), X[:, :3], counts)
    theirs = PoissonRegressor(alpha=1e-2 / len(X), fit_intercept=False, tol=1e-10, max_iter=1000)
    np.testing.assert_allclose(w, theirs.fit(X[:, :3], counts).coef_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ours, theirs, factor, target", [
    (MSELoss(reduction="none"), HalfSquaredError(), 2, "real"),
    (BCEWithLogitsLoss(reduction="none"), HalfBinomialLoss(), 1, "label"),
    (PoissonNLLLoss(reduction="none"), HalfPoissonLoss(), 1, "count"),
])
def test_gradient_and_curvature_are_those_that_boosting_asks_for(ours, theirs, factor, target):
    """scikit-learn's own boosting calls `gradient_hessian`; XGBoost and LightGBM take the pair."""
    rng = np.random.default_rng(1)
    score = rng.normal(size=500) * 3
    y = {"real": rng.normal(size=500), "label": rng.integers(0, 2, 500).astype(float),
         "count": rng.poisson(2.0, 500).astype(float)}[target]
    gradient, hessian = theirs.gradient_hessian(y_true=y, raw_prediction=score)
    np.testing.assert_allclose(ours.grad(score, y), factor * gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.curvature(score, y), factor * hessian, rtol=1e-10)
