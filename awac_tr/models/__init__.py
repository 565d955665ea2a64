"""Networks of policies and critics, and how the sections of a recipe become them."""
