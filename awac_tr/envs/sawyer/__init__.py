"""``SawyerPush-v0``: a Sawyer arm pushes a puck to a drawn place (A.1.2), on meshes of the package ``metaworld``."""
