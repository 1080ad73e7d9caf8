from openai import AsyncOpenAI


async def test_each_prompt_gets_each_of_its_choices(sdk: AsyncOpenAI) -> None:
    answer = await sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt=["One", "Two"], n=2)

    assert answer.id.startswith("cmpl-")
    assert len({choice.text for choice in answer.choices}) == 4


async def test_a_stream_says_the_same_as_a_whole_answer(sdk: AsyncOpenAI) -> None:
    whole = await sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=100)
    stream = await sdk.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=100, stream=True
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"


async def test_without_max_tokens_sixteen_are_said(sdk: AsyncOpenAI) -> None:
    answer = await sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="x" * 9)

    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16
