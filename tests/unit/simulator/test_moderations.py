from openai import AsyncOpenAI


async def test_a_text_is_flagged_for_what_it_names(sdk: AsyncOpenAI) -> None:
    answer = await sdk.moderations.create(input=["I like violence", "I like flowers"])

    assert [result.flagged for result in answer.results] == [True, False]
    assert answer.results[0].categories.violence
    assert not answer.results[0].categories.self_harm
    assert answer.results[0].category_scores.violence > 0.9
    assert answer.model == "omni-moderation-latest"


async def test_the_parts_of_one_message_are_judged_together(sdk: AsyncOpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    answer = await sdk.moderations.create(input=[{"type": "text", "text": "hate"}, picture])  # type: ignore[list-item]

    assert [result.flagged for result in answer.results] == [True]
