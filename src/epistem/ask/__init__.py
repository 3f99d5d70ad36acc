"""Ask: from papers to questions, from questions to answers, from answers to grades."""
