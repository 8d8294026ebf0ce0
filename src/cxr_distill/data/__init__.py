"""Where films come from: an archive from Kaggle or of synthetic films, its entries, and the patient-wise splits."""
