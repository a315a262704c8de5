"""The papers of data sets."""

from denoisebench.citations import Paper

BERKELEY = Paper(
    ("Martin", "Fowlkes", "Tal", "Malik"),
    "A Database of Human Segmented Natural Images and its Application to Evaluating Segmentation Algorithms and Measuring "
    "Ecological Statistics",
    "ICCV",
    "2001",
)
SIDD = Paper(("Abdelhamed", "Lin", "Brown"), "A High-Quality Denoising Dataset for Smartphone Cameras", "CVPR", "2018")
REFERENCES: dict[str, Paper] = {
    "photos": Paper(("van der Walt", "others"), "scikit-image: image processing in Python", "PeerJ", "2014"),
    "cbsd68": BERKELEY,
    "bsd300": BERKELEY,
    "bsds500": Paper(
        ("Arbelaez", "Maire", "Fowlkes", "Malik"), "Contour Detection and Hierarchical Image Segmentation", "TPAMI", "2011"
    ),
    "kodak": Paper(("Franzen",), "Kodak Lossless True Color Image Suite", "", "1999", url="http://r0k.us/graphics/kodak/"),
    "set14": Paper(
        ("Zeyde", "Elad", "Protter"), "On Single Image Scale-Up Using Sparse-Representations", "Curves and Surfaces", "2010"
    ),
    "set12": Paper(
        ("Zhang", "Zuo", "Chen", "Meng", "Zhang"),
        "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising",
        "TIP",
        "2017",
        "1608.03981",
    ),
    "bsd68": Paper(("Roth", "Black"), "Fields of Experts", "IJCV", "2009"),
    "mcmaster": Paper(
        ("Zhang", "Wu", "Buades", "Li"),
        "Color demosaicking by local directional interpolation and nonlocal adaptive thresholding",
        "JEI",
        "2011",
    ),
    "urban100": Paper(
        ("Huang", "Singh", "Ahuja"), "Single Image Super-Resolution from Transformed Self-Exemplars", "CVPR", "2015"
    ),
    "fmdd": Paper(
        ("Zhang", "Zhu", "Nichols", "Wang", "Zhang", "Smith", "Howard"),
        "A Poisson-Gaussian Denoising Dataset with Real Fluorescence Microscopy Images",
        "CVPR",
        "2019",
        "1812.10366",
    ),
    "polyu": Paper(
        ("Xu", "Li", "Liang", "Zhang", "Zhang"), "Real-world Noisy Image Denoising: A New Benchmark", "", "2018", "1804.02603"
    ),
    "cc": Paper(
        ("Nam", "Hwang", "Matsushita", "Kim"),
        "A Holistic Approach to Cross-Channel Image Noise Modeling and its Application to Image Denoising",
        "CVPR",
        "2016",
    ),
    "sidd_validation": SIDD,
    "sidd_benchmark": SIDD,
    "sidd_medium": SIDD,
    "sidd_raw_validation": SIDD,
    "sidd_raw_benchmark": SIDD,
    "sidd_raw_medium": SIDD,
    "dnd": Paper(('Pl{\\"o}tz', "Roth"), "Benchmarking Denoising Algorithms with Real Photographs", "CVPR", "2017"),
}
