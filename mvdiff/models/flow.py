"""Constants of the flow z = (1 - sigma) * x + sigma * noise that training and sampling share."""

#: Lower bound of the noise level that turns x-predictions into velocities: below it the v-loss would only amplify
#: rounding (Li & He 2025, "Back to basics: let denoising generative models denoise", section 4).
MIN_SIGMA = 0.05
