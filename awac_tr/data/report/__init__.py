"""One page of HTML about datasets, with everything in it: numbers, lineage, findings, pictures."""
