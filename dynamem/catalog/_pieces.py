"""What there is to build systems from, a line each: what it is, and which statement covers it. No JAX here."""

MEMORIES = {
    "Hopfield": "Hopfield 1984, graded units; falls along its flow for a symmetric W (A2)",
    "BinaryHopfield": "Hopfield 1982, +-1 units, with hebb, pseudo_inverse, storkey; falls unit by unit (A6)",
    "GolesEnergy": "of two successive states of a binary network; falls under synchronous updates (A6)",
    "DenseMemory": "-sum F(xi.x), F a power, rectified power or exponential (A1, A4)",
    "LogSumExp": "modern Hopfield network; an update of any size up to 2 never raises it (A5)",
    "FenchelYoung": "sparse memory with entmax, exact retrieval by a margin; an update never raises it (A9)",
    "LogSumReLU": "Epanechnikov's kernel, minima are centroids; its flow (A1) and its updates never raise it",
    "RandomFeatureMemory": "any number of patterns in one vector of random features (A1)",
    "UniversalHopfield": "similarity, separation, projection: 16 kinds, six of them with an energy (A1)",
    "Oscillators": "Kuramoto and AKOrN; falls for symmetric couplings without natural frequencies (A10)",
    "HAM": "layers with Lagrangians and synapses, any depth and graph (A3)",
    "KrotovHopfield": "the two-layer memory as a HAM; Effective is its energy with fast hidden units (A3)",
    "EnergyTransformer": "attention and memories on layer-normed tokens as a HAM (A7)",
    "Effective": "a HAM whose fast layers have settled: an energy of the slow ones",
}
SCHEDULES = {
    "VP": "variance preserving, alpha^2 + sigma^2 = 1 with linear beta(t) from 0.1 to 20",
    "SubVP": "alpha of VP, sigma = 1 - alpha^2",
    "VE": "variance exploding, alpha = 1 and sigma geometric from 0.01 to 50",
    "Cosine": "alpha = cos of the noise time with offset 0.008, sigma^2 = 1 - alpha^2",
    "EDM": "alpha = 1, sigma = 80 t",
    "FlowMatching": "alpha = 1 - t, sigma = t",
    "Trigonometric": "alpha = cos(pi t/2), sigma = sin(pi t/2), a one-sided interpolant",
    "BetaTable": "tables of DDPM and DDIM: linear, scaled linear, cosine, with zero terminal SNR",
    "AnySchedule": "one of several, chosen by an array: a sweep compiles once",
}
GRIDS = {
    "time_grid": "noise levels, uniform in t",
    "geometric_grid": "noise levels, uniform in lam",
    "karras_grid": "noise levels of Karras et al., rho = 7",
    "index_grid": "rows of a table: leading, trailing or linspace",
}
DENOISERS = {
    "Empirical": "stored patterns: the exact denoiser is one Hopfield update (D1)",
    "GaussianMixture": "isotropic Gaussians: exact",
    "MLPDenoiser": "a residual network",
    "UNetDenoiser": "a small U-Net for square images",
    "EnergyDenoiser": "m = y - grad V of a network V: its score is a gradient",
    "ConcaveDenoiser": "V - |y|^2/2 jointly concave: no step of DDIM raises V, whatever the weights (D18)",
    "Prediction": "any callable that predicts score, eps, v, x0, velocity, or in EDM's preconditioning",
    "HostModel": "a function of NumPy arrays with its derivatives; torch_model makes one of a torch module",
    "ClassifierFreeGuidance": "V_u + w (V_c - V_u) falls for 0 <= w <= 1, and can rise beyond (D19)",
    "ClassifierGuidance": "the same of a classifier (D19)",
}
FLOWS = {
    "GradientFlow": "dx/dt = -M grad E (A1)",
    "LagrangianFlow": "tau dx/dt = -dE/dg (A2, A3)",
    "OscillatorFlow": "rotations and projected forces on spheres (A10)",
    "Langevin": "dx = -grad E dt + sqrt(2T) dW",
    "ProbabilityFlow": "dy/dlam = m - y, on either clock (D1, D4)",
    "ReverseSDE": "with churn; V + churn D s^2/2 is a supermartingale (D8)",
    "Interpolant": "the velocity between two finite sets (Albergo & Vanden-Eijnden)",
    "Tracked": "the probability flow with its free energy as one more coordinate (D9)",
}
PATH_ENERGIES = {
    "DensityEnergy": "-log of the density on either clock; can rise (D2, D3)",
    "HopfieldEnergy": "-log Z; never falls along the probability flow (D5)",
    "FreeEnergy": "V = -s^2 log Z + churn D s^2/2; falls (D4, D7, D8)",
    "GuidedEnergy": "of guided denoisers; falls for weights up to 1, beyond with a gauge (D19)",
    "LearnedEnergy": "of networks that have one (D18)",
    "Frozen": "any energy with its time held (D6)",
}
PIECES = {
    "memories in Python": MEMORIES,
    "flows in Python": FLOWS,
    "schedules": SCHEDULES,
    "grids of noise levels": GRIDS,
    "laws and denoisers in Python": DENOISERS,
    "energies of a path in Python": PATH_ENERGIES,
}
"""Groups of public names."""
