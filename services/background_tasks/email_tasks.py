"""The mails that a task leads to."""

from services.email_service import send_email_async


async def send_task_completion_email(user_email: str, task_title: str) -> None:
    """Tell an owner by mail that a task was completed; raises what the mail server answers."""
    await send_email_async(
        user_email, f"Task Completed: {task_title}", f"Your task '{task_title}' has been completed."
    )


async def send_task_assignment_email(user_email: str, task_title: str, assigner: str) -> None:
    """Tell a new owner by mail who gave the task to them; raises what the mail server answers."""
    await send_email_async(
        user_email,
        f"New Task Assigned: {task_title}",
        f"You have been assigned a new task '{task_title}' by {assigner}",
    )
