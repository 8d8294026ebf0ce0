"""Where films come from: the archive from Kaggle or drawn, its entries, and the patient-wise splits."""
