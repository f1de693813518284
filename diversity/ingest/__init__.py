"""Where pictures come from: plain and kohya folders, Hugging Face imagefolder, WebDataset tars."""
