"""Checks for the reader's answers: one module per chapter, one function per exercise.

    from aigc_lib.exercises import vae as check
    check.gaussian_kl(my_function)

prints "not attempted yet", a hint about what is wrong, or a confirmation.
"""
